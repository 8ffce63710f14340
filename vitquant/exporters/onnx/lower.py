"""Put operators in the place of placeholders."""

import numpy as np
import onnx
from onnx import ModelProto, NodeProto
from torch import nn

from vitquant.exporters.onnx import symbolic_ops as placeholders
from vitquant.exporters.onnx.conv import convolution
from vitquant.exporters.onnx.graph import Container, Graph
from vitquant.exporters.onnx.linear import linear
from vitquant.exporters.onnx.qdq import clipped, on_grid
from vitquant.layers.product import Product


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


def product(
    graph: Graph, module: Product, name: str, operands: list[str], output: str, rows: int
) -> bool:
    """``left @ right`` of shapes (..., rows, K) and (..., K, N) to ``output``, in integers."""
    scale = module.left.parameters_for(rows=rows).scale
    if scale.dim():
        return _by_parts(graph, module, name, operands, output, scale.numpy())
    left = on_grid(graph, operands[0], module.left, f"{name}.left")
    right = on_grid(graph, operands[1], module.right, f"{name}.right")
    graph.add("MatMul", [left, right], name, output)
    return True


def _by_parts(
    graph: Graph, module: Product, name: str, operands: list[str], output: str, scale: np.ndarray
) -> bool:
    """Runtimes multiply integers of one scale, so those of heads and rows are taken out in front
    and put back behind."""
    units = graph.add(
        "Mul", [operands[0], graph.constant(f"{name}.per_unit", 1 / scale)], f"{name}.left/units"
    )
    left = on_grid(graph, units, module.left, f"{name}.left", scale=np.float32(1))
    right = on_grid(graph, operands[1], module.right, f"{name}.right")
    sums = graph.add("MatMul", [left, right], name)
    graph.add("Mul", [sums, graph.constant(f"{name}.unit", scale)], f"{name}/scale", output)
    return True


def float_product(graph: Graph, name: str, operands: list[str], output: str) -> bool:
    """The same with neither operand quantized."""
    graph.add("MatMul", operands, name, output)
    return False
