"""Make a traced graph smaller: drop what no runtime needs, and store floats in fewer bytes."""

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto


def strip_exporter_metadata(model: ModelProto) -> None:
    """Drop what the exporter notes about a graph, in place.

    That is paths of source files, and shapes that a runtime finds by itself; they can take more
    space than packed weights.
    """
    graph = model.graph
    del graph.value_info[:]
    for described in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        del described.metadata_props[:]
        described.doc_string = ""


def drop_empty_padding(model: ModelProto) -> None:
    """Drop Pad nodes that add nothing, in place.

    timm's Swin pads its maps to whole windows, also where they are whole already.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    same: dict[str, str] = {}
    kept = []
    for node in graph.node:
        node.input[:] = [same.get(name, name) for name in node.input]
        if _pads_nothing(node, constants):
            same[node.output[0]] = node.input[0]
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)


def _pads_nothing(node: NodeProto, constants: dict[str, TensorProto]) -> bool:
    if node.op_type != "Pad" or len(node.input) < 2 or node.input[1] not in constants:
        return False
    return not np.any(onnx.numpy_helper.to_array(constants[node.input[1]]))


# Fewer values are not worth a node.
_WORTH = 256


def float16_initializers(model: ModelProto) -> None:
    """Store float32 initializers as float16 with a Cast, in place, where that is exact.

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
