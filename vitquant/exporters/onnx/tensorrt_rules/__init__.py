"""TensorRT's documented rules for an ONNX file with explicit quantization, and which it breaks.

A file is not run in TensorRT here, which takes a GPU; it is held against what TensorRT documents.
The sources, which each rule names in brackets:

[operators] onnx-tensorrt, docs/operators.md for TensorRT 10.15: the text above "Operator Support
    Matrix", and the rows of that table.
[parser] onnx-tensorrt, source text of its importers: ``QuantDequantLinearHelper``, for
    QuantizeLinear and DequantizeLinear alike, of a version that has the flag
    ``kENABLE_UINT8_AND_ASYMMETRIC_QUANTIZATION_DLA``, which is not set here.
[quantize] TensorRT Operator's Reference, "Quantize", sections "Inputs" and "Data Types".
[types] TensorRT documentation, "Working with Quantized Types": "Introduction to Quantization" and
    "Quantization Workflows".
[explicit] TensorRT documentation, "Explicit Quantization", section "Quantized Weights".

What is no rule: a Clip in front of QuantizeLinear is an ordinary layer on floats ([operators],
FP32, FP16 and BF16), so that levels below 8 bits can be kept by one.

``python -m vitquant.exporters.onnx.tensorrt_rules FILE.onnx`` prints the rules that a file breaks
and exits with code 1 if there are any.
"""

from collections.abc import Callable, Iterator

from onnx import ModelProto, NodeProto

from vitquant.exporters.onnx.tensorrt_rules import operators, quantization
from vitquant.exporters.onnx.tensorrt_rules.graph import RuleGraph

_RULES: tuple[Callable[[RuleGraph, NodeProto], Iterator[str]], ...] = (
    operators.operator,
    quantization.quantized_tensors,
    quantization.quantized_type,
    quantization.zero_point,
    quantization.scale,
    quantization.strongly_typed,
    quantization.product,
)


def broken_rules(model: ModelProto) -> list[str]:
    """The documented rules of TensorRT that a model breaks; each names the rule and the node.

    Empty does not mean that TensorRT takes the file: that was not tried.
    """
    graph = RuleGraph(model)
    found = [*operators.opset(graph), *operators.types(graph)]
    for node in graph.nodes:
        name = f"{node.op_type} {node.name or node.output[0]}"
        found += [f"{rule}: {name}" for check in _RULES for rule in check(graph, node)]
    return found
