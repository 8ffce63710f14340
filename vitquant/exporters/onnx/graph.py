"""An ONNX graph under construction, and the types that ONNX stores integers in."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto
from torch import Tensor

from vitquant.checkpoint.packing import pack
from vitquant.core.errors import UserError
from vitquant.quantization.quantizers.grid import Grid, weight_grid


class Graph:
    """Nodes in the order of execution, and initializers, which several nodes may share by name."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.initializers: dict[str, TensorProto] = {}
        self._used: dict[str, int] = {}

    def add(
        self, op: str, inputs: list[str], name: str, output: str = "", **attributes: Any
    ) -> str:
        """Append a node with one output; returns the output's name.

        name: of the node; where it is used again, a number is added. output: by default named after
        the node.
        """
        name = self._unique(name)
        output = output or f"{name}:0"
        self.nodes.append(onnx.helper.make_node(op, inputs, [output], name=name, **attributes))
        return output

    def producer(self, name: str) -> str:
        """The operator that computes a tensor; empty for an input or an initializer."""
        return next((node.op_type for node in reversed(self.nodes) if name in node.output), "")

    def constant(self, name: str, value: np.ndarray | np.generic) -> str:
        """Add an initializer, unless there is one of that name; returns the name."""
        if name not in self.initializers:
            # A scale without dimensions is of the whole tensor, one of shape (1,) of a channel.
            value = np.asarray(value, order="C")
            self.initializers[name] = onnx.numpy_helper.from_array(value, name)
        return name

    def tensor(self, tensor: TensorProto) -> str:
        """As :meth:`constant`, for a tensor of a type that numpy does not have."""
        self.initializers.setdefault(tensor.name, tensor)
        return tensor.name

    def latest(self, name: str) -> str:
        """What the last node that was to be called ``name`` is called."""
        count = self._used[name]
        return name if count == 1 else f"{name}.{count}"

    def _unique(self, name: str) -> str:
        self._used[name] = self._used.get(name, 0) + 1
        return self.latest(name)


@dataclass(frozen=True)
class OnnxIntType:
    """A signed integer type in two's complement. opset: the lowest that has it."""

    name: str
    bits: int
    onnx_type: int
    opset: int


INT2 = OnnxIntType("int2", 2, TensorProto.INT2, 25)
INT4 = OnnxIntType("int4", 4, TensorProto.INT4, 21)
INT8 = OnnxIntType("int8", 8, TensorProto.INT8, 20)
INT16 = OnnxIntType("int16", 16, TensorProto.INT16, 21)
"""Of activations. INT16 is older; quantization to it came with this opset."""
WEIGHT_TYPES = {t.name: t for t in (INT2, INT4, INT8)}


def get_weight_type(name: str, flag: str = "--weight-type") -> OnnxIntType:
    """The type called ``name``. Raises UserError, which names ``flag``, for others."""
    if name not in WEIGHT_TYPES:
        raise UserError(f"{flag}: {name!r} is not one of {', '.join(WEIGHT_TYPES)}")
    return WEIGHT_TYPES[name]


def smallest_type(grid: Grid, min_weight_type: OnnxIntType) -> OnnxIntType:
    """The smallest type, ``min_weight_type`` at least, that holds the integers of ``grid``."""
    needed = (grid.levels - 1).bit_length()
    return next(t for t in WEIGHT_TYPES.values() if t.bits >= max(needed, min_weight_type.bits))


def int_tensor(name: str, codes: Tensor, int_type: OnnxIntType) -> TensorProto:
    """int8 ``codes`` of any shape as an initializer of another integer type.

    ONNX packs as checkpoints do: the lowest bits of a byte first, zero bits at the end.
    """
    tensor = TensorProto(name=name, data_type=int_type.onnx_type, dims=codes.shape)
    tensor.raw_data = pack(codes, weight_grid(int_type.bits)).numpy().tobytes()
    return tensor
