"""A quantized network in which one activation is not rounded."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from vitquant.quantization.quantizers.grid import signed_grid
from vitquant.quantization.quantizers.modules import FrozenQuantizer
from vitquant.reports.measurements.tensors.taps import INPUT, LEFT

# As fine as float32.
_GRID = signed_grid(24)
_HEADROOM = 4


@contextmanager
def exact(module: nn.Module, name: str, tensor: str, largest: float) -> Iterator[None]:
    """Leave one tensor as it enters its quantizer.

    name, tensor: as of :class:`vitquant.reports.measurements.tensors.taps.Entered`. largest: its
    largest magnitude.
    """
    owner = module.get_submodule(name)
    place = "input" if tensor == INPUT else "left" if tensor == LEFT else "right"
    before = getattr(owner, place)
    fine = FrozenQuantizer(_GRID)
    fine.scale.fill_(max(largest, 1e-30) * _HEADROOM / _GRID.qmax)
    setattr(owner, place, fine.to(before.scale.device))
    try:
        yield
    finally:
        setattr(owner, place, before)
