"""The types that ONNX stores integers in."""

from dataclasses import dataclass

from onnx import TensorProto
from torch import Tensor

from vitquant.checkpoint.packing import pack
from vitquant.errors import UserError
from vitquant.quantizers.grid import Grid, weight_grid


@dataclass(frozen=True)
class Container:
    """A signed integer type in two's complement. opset: the lowest that knows it."""

    name: str
    bits: int
    onnx_type: int
    opset: int


INT2 = Container("int2", 2, TensorProto.INT2, 25)
INT4 = Container("int4", 4, TensorProto.INT4, 21)
INT8 = Container("int8", 8, TensorProto.INT8, 20)
CONTAINERS = {c.name: c for c in (INT2, INT4, INT8)}


def get_container(name: str) -> Container:
    """The container called ``name``. Raises UserError for others."""
    if name not in CONTAINERS:
        raise UserError(f"--container: {name!r} is not one of {', '.join(CONTAINERS)}")
    return CONTAINERS[name]


def container_for(grid: Grid, narrowest: Container) -> Container:
    """The smallest container, ``narrowest`` at least, that holds the integers of ``grid``."""
    needed = (grid.levels - 1).bit_length()
    return next(c for c in CONTAINERS.values() if c.bits >= max(needed, narrowest.bits))


def integers(name: str, codes: Tensor, container: Container) -> TensorProto:
    """int8 ``codes`` of any shape as an initialiser of the container's type.

    ONNX packs as checkpoints do: the lowest bits of a byte first, zero bits at the end.
    """
    tensor = TensorProto(name=name, data_type=container.onnx_type, dims=codes.shape)
    tensor.raw_data = pack(codes, weight_grid(container.bits)).numpy().tobytes()
    return tensor
