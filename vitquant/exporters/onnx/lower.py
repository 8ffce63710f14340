"""Symbolic ops lowered to the operators of ONNX."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import onnx
from onnx import ModelProto, NodeProto

from vitquant.core.errors import UserError
from vitquant.exporters.onnx import symbolic_ops
from vitquant.exporters.onnx.graph import Graph
from vitquant.exporters.onnx.layers import convolution, linear
from vitquant.exporters.onnx.options import OnnxOptions
from vitquant.exporters.onnx.qdq import clip_to_levels, quantize_dequantize
from vitquant.exporters.onnx.storage import Storage
from vitquant.quantization.layers.attention import QuantizedMatmul
from vitquant.quantization.layers.base import IntLayer
from vitquant.quantization.layers.conv import IntConv2d
from vitquant.quantization.quantizers.modules import FrozenQuantizer

# Operators whose outputs are never below 0.
_NEVER_NEGATIVE = ("Softmax", "Relu", "Sigmoid")
# Operators that ONNX Runtime fuses with a Gemm in front, which is in float then.
_FUSED_WITH_GEMM = (
    "Elu", "HardSigmoid", "LeakyRelu", "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Tanh",
    "ThresholdedRelu",
)  # fmt: skip


def lower(
    traced: ModelProto,
    modules: Mapping[str, IntLayer | QuantizedMatmul],
    options: OnnxOptions,
) -> list[str]:
    """Replace the symbolic ops of ``traced``, in place.

    Args:
        modules: what they stand for, by name.

    Returns:
        The names of the nodes that are to run on integer kernels.

    Raises:
        UserError: the graph has no node for a module, whose own code has been traced instead.
    """
    graph = Graph()
    integer, found = [], set()
    activated = {x for n in traced.graph.node if n.op_type in _FUSED_WITH_GEMM for x in n.input}
    for node in traced.graph.node:
        if node.domain != symbolic_ops.DOMAIN:
            graph.nodes.append(node)
            continue
        label = _label(node)
        found.add(label)
        output = node.output[0]
        is_apart = node.op_type == symbolic_ops.LINEAR and output in activated
        if is_apart:
            node.output[0] = f"{output}/rows"
        if _lower(graph, node, label, modules[label], options):
            integer.append(graph.latest(label))
        if is_apart:
            same = graph.constant("same_shape", np.array([0, -1]))
            graph.add("Reshape", [node.output[0], same], f"{label}/reshape", output)
    _check_complete(modules, found)
    del traced.graph.node[:]
    # Stable: the others keep their order.
    traced.graph.node.extend(sorted(graph.nodes, key=lambda node: not _widens(graph, node)))
    traced.graph.initializer.extend(graph.initializers.values())
    kept = [o for o in traced.opset_import if o.domain != symbolic_ops.DOMAIN]
    del traced.opset_import[:]
    traced.opset_import.extend(kept)
    return integer


def _widens(graph: Graph, node: NodeProto) -> bool:
    """Whether a node widens a weight. These come first in a file: ONNX Runtime orders nodes from
    the outputs on, and of the inputs of a node it goes for the one that comes last in the file
    first. Where it does not compute a Cast at load, it then widens each weight just before it is
    used rather than all of them at the start, so that one wide weight is in memory at a time."""
    return node.op_type == "Cast" and node.input[0] in graph.initializers


def _check_complete(modules: Mapping[str, IntLayer | QuantizedMatmul], found: set[str]) -> None:
    for name, module in modules.items():
        traced = isinstance(module.lowering, symbolic_ops.Traced) and module.lowering.ran
        if name not in found and not traced:
            raise UserError(
                f"FILE: {name}, a {type(module).__name__}, would be exported as float operations; "
                f"a quantized layer whose forward pass is vitquant's own is accepted"
            )


def _lower(
    graph: Graph,
    node: NodeProto,
    label: str,
    module: IntLayer | QuantizedMatmul,
    options: OnnxOptions,
) -> bool:
    """Whether it became an integer product."""
    inputs, output = list(node.input), node.output[0]
    if isinstance(module, QuantizedMatmul):
        if options.float_attention:
            graph.add("MatMul", inputs, label, output)
            return False
        return _matmul(graph, module, label, inputs, output, _attribute(node, "rows"), options)
    if module.input is not None and node.op_type == symbolic_ops.INPUT:
        target = options.target
        stored = Storage.of(module.input, target.inputs, target.clips_integers)
        if (zero_point := _attribute(node, "zero_point", None)) is not None:
            stored = stored.with_zero_point(zero_point)
        quantize_dequantize(graph, inputs[0], stored, f"{label}.input", output)
        return False
    if module.input is not None and node.op_type == symbolic_ops.RANGE:
        _clip(graph, module.input, label, inputs[0], output, bool(_attribute(node, "prefix")))
        return False
    if isinstance(module, IntConv2d) and node.op_type == symbolic_ops.CONVOLUTION:
        return convolution(graph, module, label, inputs[0], output, options)
    bias = bool(_attribute(node, "bias"))
    return linear(graph, module, label, inputs[0], output, options, bias)


def _clip(
    graph: Graph, quantizer: FrozenQuantizer, label: str, x: str, output: str, prefix: bool
) -> None:
    """Rows at the front, or others, within the levels of their grid."""
    grid = (quantizer.prefix.grid if prefix else None) or quantizer.grid
    zero = 0 if prefix else int(quantizer.zero_point)
    name = f"{label}.{'front' if prefix else 'others'}"
    scale = quantizer.scale.numpy()
    clip_to_levels(graph, x, scale, grid.qmin - zero, grid.qmax - zero, name, output)


def _matmul(
    graph: Graph,
    module: QuantizedMatmul,
    name: str,
    operands: list[str],
    output: str,
    rows: int,
    options: OnnxOptions,
) -> bool:
    """``left @ right`` of shapes (..., rows, K) and (..., K, N) to ``output``, in integers."""
    target, (x, y) = options.target, operands
    left, right = cast(FrozenQuantizer, module.left), cast(FrozenQuantizer, module.right)
    scale = left.qparams(num_tokens=rows).scale.numpy()
    stored = Storage.of(left, target.matmuls, target.clips_integers)
    if target.clips_integers and graph.producer(x) in _NEVER_NEGATIVE:
        stored = stored.never_negative()
    others = Storage.of(right, target.matmuls, target.clips_integers)
    b = quantize_dequantize(graph, y, others, f"{name}.right")
    if scale.ndim:
        # Runtimes multiply integers of one scale, so those of heads and rows are put back behind.
        if scale.shape == (left.heads, 1, 1) and target.clips_integers:
            stored = stored.with_scale(scale.reshape(-1), axis=1)
        else:
            per_unit = graph.constant(f"{name}.per_unit", 1 / scale)
            x = graph.add("Mul", [x, per_unit], f"{name}.left/units")
            stored = stored.with_scale(np.ones((), np.float32))
    a = quantize_dequantize(graph, x, stored, f"{name}.left")
    if not scale.ndim:
        graph.add("MatMul", [a, b], name, output)
        return not left.grid.signed
    sums = graph.add("MatMul", [a, b], name)
    graph.add("Mul", [sums, graph.constant(f"{name}.unit", scale)], f"{name}/scale", output)
    return True


def _label(node: NodeProto) -> str:
    name: bytes = _attribute(node, "layer")
    return name.decode()


def _attribute(node: NodeProto, name: str, *default: None) -> Any:
    """The value of an attribute; with a default, the node may lack it."""
    values = (onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == name)
    return next(values, *default)
