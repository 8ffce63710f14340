"""A quantized Linear, as the nodes that ONNX Runtime and OpenVINO run as one integer product."""

import numpy as np
from torch import Tensor

from vitquant.exporters.onnx.graph import Graph, OnnxIntType
from vitquant.exporters.onnx.weights import float_weight, int32_bias, integer_weight
from vitquant.quantization.layers.base import IntLayer


def linear(
    graph: Graph,
    layer: IntLayer,
    name: str,
    x: str,
    output: str,
    min_weight_type: OnnxIntType,
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
        weight = float_weight(graph, layer, name, min_weight_type, flat=True)
        inputs = [x, weight, *([] if bias is None else [_float_bias(graph, bias, name)])]
        graph.add("Gemm", inputs, name, output, transB=1)
        return False
    codes = integer_weight(graph, layer, name, min_weight_type, flat=True)
    scale = graph.constant(f"{name}.weight_scale", layer.scale.numpy())
    # ONNX takes zero for a zero point that is left out; ONNX Runtime then computes in float.
    zeros = graph.constant(f"zeros.{len(layer.scale)}", np.zeros(len(layer.scale), np.int8))
    weight = graph.add("DequantizeLinear", [codes, scale, zeros], f"{name}/weight", axis=0)
    if bias is None:
        graph.add("Gemm", [x, weight], name, output, transB=1)
        return True
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


def _float_bias(graph: Graph, bias: Tensor, name: str) -> str:
    return graph.constant(f"{name}.bias", bias.numpy())
