"""A quantized Linear, as the nodes that ONNX Runtime and OpenVINO run as one integer product."""

import numpy as np

from vitquant.exporters.onnx.graph import Container, Graph
from vitquant.exporters.onnx.weights import accumulator_bias, float_weight, integer_weight
from vitquant.layers.weight import IntegerWeight


def linear(
    graph: Graph,
    layer: IntegerWeight,
    name: str,
    x: str,
    output: str,
    narrowest: Container,
    bias: bool,
) -> bool:
    """Rows ``x`` (N, I), which are on the grid of the layer's input, to ``output`` (N, O).

    layer: a Linear, or a convolution on patches side by side, each of which is a row. bias: whether
    the layer's own is added.
    """
    bias = bias and layer.bias is not None
    if layer.input is None:
        weight = float_weight(graph, layer, name, narrowest, flat=True)
        inputs = [x, weight, *([_float_bias(graph, layer, name)] if bias else [])]
        graph.add("Gemm", inputs, name, output, transB=1)
        return False
    codes = integer_weight(graph, layer, name, narrowest, flat=True)
    scale = graph.constant(f"{name}.weight_scale", layer.scale.numpy())
    # ONNX takes zero for a zero point that is left out; ONNX Runtime then computes in float.
    zeros = graph.constant(f"zeros.{len(layer.scale)}", np.zeros(len(layer.scale), np.int8))
    weight = graph.add("DequantizeLinear", [codes, scale, zeros], f"{name}/weight", axis=0)
    in_units = accumulator_bias(layer) if bias else None
    if in_units is not None:
        inputs = [
            graph.constant(f"{name}.bias", in_units[0]),
            graph.constant(f"{name}.bias_scale", in_units[1]),
        ]
        added = graph.add("DequantizeLinear", inputs, f"{name}/bias", axis=0)
        graph.add("Gemm", [x, weight, added], name, output, transB=1)
    elif bias:
        y = graph.add("Gemm", [x, weight], name, transB=1)
        graph.add("Add", [y, _float_bias(graph, layer, name)], f"{name}/add_bias", output)
    else:
        graph.add("Gemm", [x, weight], name, output, transB=1)
    return True


def _float_bias(graph: Graph, layer: IntegerWeight, name: str) -> str:
    return graph.constant(f"{name}.bias", layer.bias.numpy())
