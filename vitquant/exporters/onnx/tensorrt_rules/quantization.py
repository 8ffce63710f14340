"""Rules for what is quantized, how, and to what.

Each function yields what a node does not keep; the source stands in its comment.
"""

from collections.abc import Iterator

import numpy as np
from onnx import NodeProto, TensorProto

from vitquant.exporters.onnx.tensorrt_rules.graph import (
    FLOATS,
    FP8_FP4,
    QUANTIZED,
    RuleGraph,
    attribute,
    input_name,
    type_name,
)

_PRODUCTS = ("Gemm", "MatMul", "Conv", "ConvTranspose")


def quantized_tensors(graph: RuleGraph, node: NodeProto) -> Iterator[str]:
    # [operators], second note and the table: of the operators between a quantization and the
    # product behind it, DequantizeLinear alone takes quantized types. Cast does not, so that
    # 4-bit weights cannot be widened to bytes.
    if node.op_type in ("QuantizeLinear", "DequantizeLinear", "Constant"):
        return
    for name in node.input:
        if graph.types.get(name) in QUANTIZED:
            yield f"quantized tensors go into DequantizeLinear only (not {name})"


def quantized_type(graph: RuleGraph, node: NodeProto) -> Iterator[str]:
    # [operators], the row DequantizeLinear: no int32, so that biases are floats. [parser]: without
    # a zero point and output_dtype TensorRT takes int8, where ONNX takes uint8.
    if node.op_type == "DequantizeLinear":
        data_type = graph.types.get(node.input[0], TensorProto.UNDEFINED)
        if data_type not in QUANTIZED:
            yield f"int8, int4, float8 or float4 is dequantized (not {type_name(data_type)})"
    elif node.op_type == "QuantizeLinear":
        point = input_name(node, 2)
        data_type = graph.types.get(point, TensorProto.UNDEFINED)
        data_type = data_type or attribute(node, "output_dtype", TensorProto.UNDEFINED)
        if data_type not in {TensorProto.INT8, *FP8_FP4}:
            named = type_name(data_type) if data_type else "no type named, which is uint8"
            yield f"activations are quantized to int8, float8 or float4 ({named})"


def zero_point(graph: RuleGraph, node: NodeProto) -> Iterator[str]:
    # [operators], the rows QuantizeLinear and DequantizeLinear; [parser] "Non-zero zero point is
    # not supported" and "The scale and zero point must have the same volume".
    if node.op_type not in ("QuantizeLinear", "DequantizeLinear") or not input_name(node, 2):
        return
    value, scale = graph.value(node.input[2]), graph.value(node.input[1])
    if value is None:
        yield "zero points are constant"
    elif np.any(value.astype(np.float32)):
        yield "zero points are 0"
    elif scale is not None and value.size != scale.size:
        yield "a scale and its zero point have one size"


def scale(graph: RuleGraph, node: NodeProto) -> Iterator[str]:
    # [quantize], the input "scale": a build-time constant; a scalar, or 1-D for one scale a
    # channel. [parser], for both operators: "Scale coefficients must all be positive" and "The
    # number of scales is not equal to the number of output channels".
    if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
        return
    values = graph.value(node.input[1])
    if values is None:
        yield "scales are constant"
        return
    if not np.all(values.astype(np.float32) > 0):
        yield "scales are positive"
    if graph.types[node.input[1]] not in FLOATS:
        yield f"scales are floats (not {type_name(graph.types[node.input[1]])})"
    if values.size == 1:
        return
    weight = graph.weight(node)
    if weight is None:
        # [types], "Quantization Workflows": whether scales are per tensor or per channel "depends
        # on the layer and data type". That it is per tensor for activations is what follows for a
        # product: a scale that differs along the axis of the sum cannot be taken out of it.
        yield "an activation has one scale"
    elif values.ndim == 1 and weight.dims[attribute(node, "axis", 1)] != values.size:
        yield "as many scales as channels along the axis"


def strongly_typed(graph: RuleGraph, node: NodeProto) -> Iterator[str]:
    # [quantize] "Data Types": input and scale have one type, T1. [explicit] asks for networks that
    # are strongly typed, in which nothing is converted by itself.
    if node.op_type == "QuantizeLinear":
        x, scale = graph.types.get(node.input[0]), graph.types.get(node.input[1])
        if x is not None and x != scale:
            yield "the input of a quantization and its scale have one type"


def product(graph: RuleGraph, node: NodeProto) -> Iterator[str]:
    # [parser] counts scales along the axis of the "output channels". [types], "Introduction to
    # Quantization": "INT4 (signed 4-bit integer, weight-only quantization)".
    if node.op_type not in _PRODUCTS:
        return
    sources = [graph.origin(name) for name in node.input[:2]]
    dequantized = [n for n in sources if n is not None and n.op_type == "DequantizeLinear"]
    types = [graph.types.get(n.input[0]) for n in dequantized]
    if TensorProto.INT4 in types and len(types) == 2:
        yield "int4 weights have float activations"
    for n in dequantized:
        weight, scales = graph.weight(n), graph.value(n.input[1])
        if weight is None or scales is None or scales.ndim != 1 or scales.size == 1:
            continue
        axis = attribute(n, "axis", 1) % len(weight.dims)
        if n.output[0] in node.input and axis != _output_axis(node, len(weight.dims)):
            yield "scales of weights are those of output channels"


def _output_axis(node: NodeProto, rank: int) -> int:
    """The axis of a weight along which a product has its output channels."""
    if node.op_type == "Conv" or (node.op_type == "Gemm" and attribute(node, "transB", 0)):
        return 0
    return 1 if node.op_type == "ConvTranspose" else rank - 1
