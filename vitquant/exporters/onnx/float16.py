"""What a graph computes between its integer products, in float16.

The conversion is ONNX Runtime's (``onnxruntime.transformers.float16``). Decided here is what stays
float32:

- sums over many values and powers, which overflow at 65504 (:data:`_FLOAT32`). LayerNormalization
  is none of them: its attribute ``stash_type`` has the statistics computed in float32;
- products one of whose scales float16 cannot hold. QuantizeLinear and DequantizeLinear take float16
  scales since opset 19, and both ONNX and TensorRT ask for a scale of the data's type. Rounded to
  float16, a scale is off by 2 ** -11 at most, a sixteenth of a level at the end of 8 bits; below
  the smallest normal number it loses bits, down to 0, which no runtime takes. There, the whole
  product is float32, so that nothing comes between a dequantization and its product: TensorRT
  would no longer see that they belong together;
- preprocessing, which counts pixels in numbers beyond float16.
"""

from collections.abc import Collection
from graphlib import TopologicalSorter
from importlib import import_module

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto

_FLOAT32 = ("Pow", "ReduceL2", "ReduceMean", "ReduceSum", "ReduceSumSquare")
_LIMITS = np.finfo(np.float16)
_PAIR = ("QuantizeLinear", "DequantizeLinear")
# What may stand between a dequantization and the product that it is of.
_MOVES = ("Reshape", "Transpose")
_PRODUCTS = ("Gemm", "MatMul", "Conv")
LOWEST_OPSET = 19
"""The first in which quantization is defined for float16."""


def to_float16(model: ModelProto, float32: Collection[str] = ()) -> None:
    """Compute in float16 what is computed in float32, in place.

    Inputs and outputs keep their types; a Cast stands behind each input and in front of each
    output.

    Args:
        model: of opset 19 or later. Its nodes have names.
        float32: names of further nodes that stay as they are.
    """
    tool = import_module("onnxruntime.transformers.float16")
    converted: ModelProto = tool.convert_float_to_float16(
        model,
        keep_io_types=True,
        op_block_list=[*tool.DEFAULT_OP_BLOCK_LIST, *_FLOAT32],
        node_block_list=[*_products_in_float32(model), *float32],
    )
    # What it notes of types may be that of before.
    del converted.graph.value_info[:]
    _sort(converted)
    model.CopyFrom(converted)


def _sort(model: ModelProto) -> None:
    """Put each node behind those that it reads: the conversion appends its Casts at the end."""
    graph = model.graph
    producer = {name: i for i, node in enumerate(graph.node) for name in node.output}
    reads = {
        i: {producer[name] for name in node.input if name in producer}
        for i, node in enumerate(graph.node)
    }
    nodes = [graph.node[i] for i in TopologicalSorter(reads).static_order()]
    ordered = onnx.GraphProto(node=nodes).node
    del graph.node[:]
    graph.node.extend(ordered)


def _products_in_float32(model: ModelProto) -> set[str]:
    """Names of the products with a scale that float16 cannot hold, and of what quantizes them."""
    producer = {name: node for node in model.graph.node for name in node.output}
    scales = {tensor.name: tensor for tensor in model.graph.initializer}
    products = {}
    for node in model.graph.node:
        if node.op_type in _PRODUCTS:
            products[node.name] = [n for name in node.input for n in _chain(producer, name)]
    found: set[str] = set()
    while True:
        # A pair that several products share takes the others along.
        more = {
            name
            for name, nodes in products.items()
            if name not in found
            and any(n.name in found or not _holds(scales, n) for n in nodes if n.op_type in _PAIR)
        }
        if not more:
            return found
        found |= more
        found |= {n.name for name in more for n in products[name]}


def _chain(producer: dict[str, NodeProto], name: str) -> list[NodeProto]:
    """What quantizes an operand: from its product back to QuantizeLinear; empty for floats."""
    nodes: list[NodeProto] = []
    node = producer.get(name)
    while node is not None and node.op_type in (*_MOVES, *_PAIR):
        nodes.append(node)
        if node.op_type == "QuantizeLinear":
            break
        node = producer.get(node.input[0])
    return nodes if any(n.op_type in _PAIR for n in nodes) else []


def _holds(scales: dict[str, TensorProto], node: NodeProto) -> bool:
    """Whether the scale of a QuantizeLinear or DequantizeLinear is a normal number of float16."""
    values = onnx.numpy_helper.to_array(scales[node.input[1]])
    return bool(np.all((values >= _LIMITS.smallest_normal) & (values <= _LIMITS.max)))
