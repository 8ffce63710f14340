"""Another computation in the place of a quantized module's own, for the time of an export."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor

from vitquant.quantization.layers.attention import QuantizedMatmul
from vitquant.quantization.layers.base import IntLayer

Lowering = Callable[..., Tensor]


@contextmanager
def lowered(lowerings: Mapping[IntLayer | QuantizedMatmul, Lowering]) -> Iterator[None]:
    """Inside, each module returns what its function does.

    The functions take what the modules' forward passes do, and a Linear's also takes the bias.
    """
    before: list[tuple[IntLayer | QuantizedMatmul, Lowering | None]]
    before = [(module, module.lowering) for module in lowerings]
    try:
        for module, function in lowerings.items():
            module.lowering = function
        yield
    finally:
        for module, own in before:
            module.lowering = own
