"""Put operators in the place of placeholders."""

import onnx
from onnx import ModelProto, NodeProto
from torch import nn

from vitquant.exporters.onnx import symbolic_ops as placeholders
from vitquant.exporters.onnx.containers import Container
from vitquant.exporters.onnx.conv import convolution
from vitquant.exporters.onnx.graph import Graph
from vitquant.exporters.onnx.linear import linear
from vitquant.exporters.onnx.product import float_product, product
from vitquant.exporters.onnx.qdq import clipped, on_grid


def expand(
    traced: ModelProto, modules: dict[str, nn.Module], narrowest: Container, float_attention: bool
) -> list[str]:
    """Replace the placeholders of ``traced``, in place.

    Args:
        modules: what they stand for, by name.
        narrowest: the smallest type for weights.
        float_attention: leave the products of activations float.

    Returns:
        The names of the nodes that are to run on integer kernels.
    """
    graph = Graph()
    integer = []
    for node in traced.graph.node:
        if node.domain != placeholders.DOMAIN:
            graph.nodes.append(node)
        elif _replace(graph, node, modules, narrowest, float_attention):
            integer.append(_label(node))
    del traced.graph.node[:]
    traced.graph.node.extend(graph.nodes)
    traced.graph.initializer.extend(graph.initializers.values())
    kept = [o for o in traced.opset_import if o.domain != placeholders.DOMAIN]
    del traced.opset_import[:]
    traced.opset_import.extend(kept)
    return integer


def _replace(
    graph: Graph,
    node: NodeProto,
    modules: dict[str, nn.Module],
    narrowest: Container,
    float_attention: bool,
) -> bool:
    """Whether it became an integer product."""
    label, inputs, output = _label(node), list(node.input), node.output[0]
    module = modules[label]
    if node.op_type == placeholders.INPUT:
        zero_point = _attribute(node, "zero_point", None)
        on_grid(graph, inputs[0], module.input, f"{label}.input", output, zero_point=zero_point)
        return False
    if node.op_type == placeholders.RANGE:
        own = bool(_attribute(node, "front"))
        grid = module.input.front.grid if own else module.input.grid
        zero_point = 0 if own else int(module.input.zero_point)
        name = f"{label}.{'front' if own else 'others'}"
        clipped(graph, inputs[0], grid, module.input.scale.numpy(), zero_point, name, output)
        return False
    if node.op_type == placeholders.LINEAR:
        bias = bool(_attribute(node, "bias"))
        return linear(graph, module, label, inputs[0], output, narrowest, bias)
    if node.op_type == placeholders.CONVOLUTION:
        return convolution(graph, module, label, inputs[0], output, narrowest)
    if float_attention:
        return float_product(graph, label, inputs, output)
    return product(graph, module, label, inputs, output, _attribute(node, "rows"))


def _label(node: NodeProto) -> str:
    return _attribute(node, "layer").decode()


def _attribute(node: NodeProto, name: str, *default: None):
    """The value of an attribute; with a default, the node may lack it."""
    values = (onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == name)
    return next(values, *default)
