"""What the rules ask of a graph."""

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto

FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16}
FP8_FP4 = {TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT4E2M1}
QUANTIZED = {TensorProto.INT8, TensorProto.INT4, *FP8_FP4}

# What may stand between a dequantization and the product that it is of.
_MOVES = ("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze")


class RuleGraph:
    """A model with what the rules ask of it: constants, types and who reads what, by name."""

    def __init__(self, model: ModelProto) -> None:
        inferred = onnx.shape_inference.infer_shapes(model)
        graph = inferred.graph
        self.nodes = list(graph.node)
        self.opsets = {o.domain: o.version for o in model.opset_import}
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        for node in self.nodes:
            if node.op_type == "Constant" and node.attribute[0].HasField("t"):
                self.constants[node.output[0]] = node.attribute[0].t
        described = (*graph.input, *graph.output, *graph.value_info)
        self.types = {value.name: value.type.tensor_type.elem_type for value in described}
        self.types |= {name: tensor.data_type for name, tensor in self.constants.items()}
        self.ends = {value.name for value in (*graph.input, *graph.output)}
        self.producer = {name: node for node in self.nodes for name in node.output}

    def value(self, name: str) -> np.ndarray | None:
        """A constant."""
        return onnx.numpy_helper.to_array(self.constants[name]) if name in self.constants else None

    def weight(self, node: NodeProto) -> TensorProto | None:
        """The constant that a QuantizeLinear or DequantizeLinear is of, also behind the other."""
        name = node.input[0]
        before = self.producer.get(name)
        if before is not None and before.op_type == "QuantizeLinear":
            name = before.input[0]
        return self.constants.get(name)

    def origin(self, name: str) -> NodeProto | None:
        """What computes a tensor, behind reshapes and transpositions of it."""
        node = self.producer.get(name)
        while node is not None and node.op_type in _MOVES:
            node = self.producer.get(node.input[0])
        return node


def input_name(node: NodeProto, i: int) -> str:
    return node.input[i] if len(node.input) > i else ""


def attribute(node: NodeProto, name: str, default: int) -> int:
    return next((a.i for a in node.attribute if a.name == name), default)


def type_name(data_type: int) -> str:
    return TensorProto.DataType.Name(data_type).lower()
