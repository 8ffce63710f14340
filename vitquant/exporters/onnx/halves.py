"""What stays float takes half the space where that loses nothing."""

import numpy as np
import onnx
from onnx import ModelProto, TensorProto

# Fewer values are not worth a node.
_WORTH = 256


def store_as_halves(model: ModelProto) -> None:
    """Store float32 initialisers as float16 with a Cast, in place, where that is exact.

    A checkpoint holds norms, embeddings and position biases as float16, so for these it is. As with
    the integers, runtimes compute the Cast once.
    """
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < _WORTH:
            continue
        values = onnx.numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            halves = values.astype(np.float16)
        if not np.array_equal(halves.astype(np.float32), values):
            continue
        name = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(halves, f"{name}.half"))
        cast = onnx.helper.make_node(
            "Cast", [tensor.name], [name], name=f"{name}/widen", to=TensorProto.FLOAT
        )
        casts.append(cast)
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
