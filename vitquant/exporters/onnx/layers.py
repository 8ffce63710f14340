"""A quantized Linear or Conv2d as the nodes that runtimes compute as one integer product.

A convolution on patches that do not overlap is a Linear on patches. Of any other, runtimes fuse a
convolution between quantizations only if its output is quantized as well, which the checkpoint does
not do; so the integer product is written out. TensorRT takes no product that is written out; it
fuses the convolution.

CPUs have no products of 16-bit integers. With such an input a layer is written as hardware that has
them reads it, between quantizations, and elsewhere its product is computed in float.
"""

from typing import Any

import numpy as np
from onnx import TensorProto
from torch import Tensor

from vitquant.exporters.onnx.graph import Graph
from vitquant.exporters.onnx.options import OnnxOptions
from vitquant.exporters.onnx.qdq import (
    float_weight,
    int32_bias,
    integer_weight,
    quantize_dequantize,
    quantize_linear,
)
from vitquant.exporters.onnx.storage import Storage
from vitquant.quantization.layers.base import IntLayer
from vitquant.quantization.layers.conv import IntConv2d


def convolution(
    graph: Graph,
    layer: IntConv2d,
    name: str,
    x: str,
    output: str,
    options: OnnxOptions,
) -> bool:
    """Add the nodes of ``x`` (B, C, H, W) through the layer to ``output`` (B, O, h, w).

    Returns whether it is an integer product.
    """
    settings = _attributes(layer)
    if layer.input is None:
        inputs = [x, float_weight(graph, layer, name, options.min_weight_type)]
        if layer.bias is not None:
            inputs.append(graph.constant(f"{name}.bias", layer.bias.numpy()))
        graph.add("Conv", inputs, name, output, **settings)
        return False
    target = options.target
    stored = Storage.of(layer.input, target.inputs, target.clips_integers)
    signed = layer.input.grid.signed
    if signed or not target.conv_integer:
        rounded = quantize_dequantize(graph, x, stored, f"{name}.input")
        inputs = [rounded, _weight(graph, layer, name, options)]
        if layer.bias is not None:
            inputs.append(_float_bias(graph, layer.bias, name))
        graph.add("Conv", inputs, name, output, **settings)
        return not signed
    codes, (_, zero_point) = quantize_linear(graph, x, stored, f"{name}.input")
    # Padding is the zero point, as in the checkpoint.
    inputs = [codes, integer_weight(graph, layer, name, options.min_weight_type), zero_point]
    sums = graph.add("ConvInteger", inputs, name, **settings)
    sums = graph.add("Cast", [sums], f"{name}/to_float", to=TensorProto.FLOAT)
    units = graph.constant(f"{name}.bias_scale", _by_channel(layer.input.scale * layer.scale))
    if layer.bias is None:
        graph.add("Mul", [sums, units], f"{name}/units", output)
        return True
    y = graph.add("Mul", [sums, units], f"{name}/units")
    bias = graph.constant(f"{name}.bias", _by_channel(layer.bias))
    graph.add("Add", [y, bias], f"{name}/add_bias", output)
    return True


def _attributes(layer: IntConv2d) -> dict[str, Any]:
    settings = layer.settings
    before, after = _padding(layer)
    return {
        "strides": _pair(settings["stride"]),
        "dilations": _pair(settings["dilation"]),
        "group": settings["groups"],
        "kernel_shape": list(layer.codes.shape[2:]),
        "pads": [*before, *after],
    }


def _padding(layer: IntConv2d) -> tuple[list[int], list[int]]:
    """Rows and columns in front, and behind."""
    padding = layer.settings["padding"]
    if padding == "valid":
        padding = 0
    if padding != "same":
        return _pair(padding), _pair(padding)
    sides = zip(layer.codes.shape[2:], _pair(layer.settings["dilation"]), strict=True)
    total = [dilation * (side - 1) for side, dilation in sides]
    return [n // 2 for n in total], [n - n // 2 for n in total]


def _pair(value: int | tuple[int, int]) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


def _by_channel(values: Tensor) -> np.ndarray:
    """(O,) → (O, 1, 1), to go with (B, O, h, w)."""
    return values.numpy().reshape(-1, 1, 1)


def linear(
    graph: Graph,
    layer: IntLayer,
    name: str,
    x: str,
    output: str,
    options: OnnxOptions,
    with_bias: bool,
) -> bool:
    """Add the nodes of a layer; returns whether it is an integer product.

    Args:
        layer: a Linear, or a convolution on patches side by side, each of which is a row.
        x: rows (N, I), which are on the grid of the layer's input.
        output: what to call the result, (N, O).
        with_bias: whether the layer's own bias is added.
    """
    bias = layer.bias if with_bias else None
    if layer.input is None:
        weight = float_weight(graph, layer, name, options.min_weight_type, flat=True)
        inputs = [x, weight, *([] if bias is None else [_float_bias(graph, bias, name)])]
        graph.add("Gemm", inputs, name, output, transB=1)
        return False
    weight, signed = _weight(graph, layer, name, options, flat=True), layer.input.grid.signed
    if bias is None or signed or not options.target.int32_bias:
        inputs = [x, weight, *([] if bias is None else [_float_bias(graph, bias, name)])]
        graph.add("Gemm", inputs, name, output, transB=1)
        return not signed
    in_units = int32_bias(layer)
    if in_units is None:
        y = graph.add("Gemm", [x, weight], name, transB=1)
        graph.add("Add", [y, _float_bias(graph, bias, name)], f"{name}/add_bias", output)
        return True
    inputs = [
        graph.constant(f"{name}.bias", in_units[0]),
        graph.constant(f"{name}.bias_scale", in_units[1]),
    ]
    added = graph.add("DequantizeLinear", inputs, f"{name}/bias", axis=0)
    graph.add("Gemm", [x, weight, added], name, output, transB=1)
    return True


def _weight(
    graph: Graph, layer: IntLayer, name: str, options: OnnxOptions, *, flat: bool = False
) -> str:
    """The dequantized weight; flat: as (O, I)."""
    codes = integer_weight(graph, layer, name, options.min_weight_type, flat=flat)
    scale = graph.constant(f"{name}.weight_scale", layer.scale.numpy())
    # ONNX takes zero for a zero point that is left out; ONNX Runtime then computes in float.
    zeros = graph.constant(f"zeros.{len(layer.scale)}", np.zeros(len(layer.scale), np.int8))
    return graph.add("DequantizeLinear", [codes, scale, zeros], f"{name}/weight", axis=0)


def _float_bias(graph: Graph, bias: Tensor, name: str) -> str:
    return graph.constant(f"{name}.bias", bias.numpy())
