"""Opsets, types and operators that TensorRT takes.

Of the column "Restrictions" of [operators], what the graph of a vision transformer can run into.
"""

from collections.abc import Collection, Iterator

import onnx
from onnx import NodeProto, TensorProto

from vitquant.exporters.onnx.tensorrt_rules.graph import FLOATS, QUANTIZED, RuleGraph, type_name

LOWEST_OPSET, HIGHEST_OPSET = 9, 24

_TYPES = {
    *FLOATS,
    *QUANTIZED,
    TensorProto.DOUBLE,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.UINT8,
    TensorProto.BOOL,
}

# The rows with "Y".
_ROWS = """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool
    BatchNormalization BlackmanWindow Cast CastLike Ceil Celu Clip Concat Constant ConstantOfShape
    Conv ConvTranspose Cos Cosh CumSum DeformConv DepthToSpace DequantizeLinear Div Dropout Einsum
    Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather GatherElements GatherND Gelu Gemm
    GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample
    GroupNormalization GRU HammingWindow HannWindow HardSigmoid HardSwish Hardmax Identity If
    InstanceNormalization IsInf IsNaN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax
    Loop LRN LSTM LpNormalization LpPool MatMul Max MaxPool Mean MeanVarianceNormalization Min Mish
    Mod Mul Neg NonMaxSuppression NonZero Not OneHot Or Pad Pow PRelu QuantizeLinear RandomNormal
    RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2
    ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
    ReduceSumSquare Relu Reshape Resize ReverseSequence RMSNormalization RNN RoiAlign
    RotaryEmbedding Round STFT Scan Scatter ScatterElements ScatterND Selu Shape Shrink Sigmoid
    Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan
    Tanh TensorScatter ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Upsample Where Xor
"""
_SUPPORTED = frozenset(_ROWS.split())

_RESIZE = {
    "mode": ("nearest", "linear"),
    "keep_aspect_ratio_policy": ("stretch",),
    "coordinate_transformation_mode": (
        "half_pixel",
        "pytorch_half_pixel",
        "tf_half_pixel_for_nn",
        "asymmetric",
        "align_corners",
    ),
}


def opset(graph: RuleGraph) -> Iterator[str]:
    # [operators], first sentence.
    version = graph.opsets.get("", 0)
    if not LOWEST_OPSET <= version <= HIGHEST_OPSET:
        yield f"opset {LOWEST_OPSET} to {HIGHEST_OPSET}: the file has {version}"


def types(graph: RuleGraph) -> Iterator[str]:
    # [operators], "TensorRT supports the following ONNX data types", and the third note: unsigned
    # bytes are types of a network's inputs and outputs only. The parser reads an unsigned zero
    # point as a signed one and only warns.
    for name, data_type in graph.types.items():
        if data_type == TensorProto.UINT8 and name not in graph.ends:
            yield f"uint8 is a type of inputs and outputs of a file only: tensor {name}"
        elif data_type not in _TYPES and data_type != TensorProto.UNDEFINED:
            yield f"no type {type_name(data_type)} in TensorRT: tensor {name}"


def operator(graph: RuleGraph, node: NodeProto) -> Iterator[str]:
    # [operators], the table. Other domains are those of plugins, which a user has to bring.
    if node.domain not in ("", "ai.onnx"):
        yield f"operators of ONNX itself, without plugins (not of {node.domain})"
    elif node.op_type not in _SUPPORTED:
        yield "an operator that TensorRT supports"
    yield from _restrictions(node, graph.constants)


def _restrictions(node: NodeProto, constants: Collection[str]) -> Iterator[str]:
    """What the table says of an operator and a node does not keep. constants: their names."""
    op = node.op_type
    values = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if op == "LayerNormalization" and len([name for name in node.output if name]) > 1:
        yield "LayerNormalization has one output"
    if op == "ScatterND" and values.get("reduction", b"none") != b"none":
        yield "ScatterND without a reduction"
    # An input that is left out has no name.
    axes = list(node.input[1:2])
    takes_axes = op.startswith("Reduce") or op in ("Squeeze", "Unsqueeze", "CumSum")
    if takes_axes and any(name and name not in constants for name in axes):
        yield "axes are constant"
    if op == "Resize":
        if values.get("antialias", 0):
            yield "Resize without antialiasing"
        for name, accepted in _RESIZE.items():
            if name in values and values[name].decode() not in accepted:
                yield f"Resize with {name} {' or '.join(accepted)}"
