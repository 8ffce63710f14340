"""Remove from a traced graph what no runtime needs."""

import numpy as np
import onnx
from onnx import ModelProto, NodeProto


def tidy(model: ModelProto) -> None:
    """Drop remarks of the exporter and operations that do nothing, in place.

    The remarks are paths of source files and shapes that a runtime finds by itself; they can take
    more space than packed weights.
    """
    graph = model.graph
    del graph.value_info[:]
    for remarked in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        del remarked.metadata_props[:]
        remarked.doc_string = ""
    _drop_empty_padding(model)


def _drop_empty_padding(model: ModelProto) -> None:
    """timm's Swin pads its maps to whole windows, also where they are whole already."""
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


def _pads_nothing(node: NodeProto, constants: dict) -> bool:
    if node.op_type != "Pad" or len(node.input) < 2 or node.input[1] not in constants:
        return False
    return not np.any(onnx.numpy_helper.to_array(constants[node.input[1]]))
