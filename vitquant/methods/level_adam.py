"""Adam whose rate for the weights of quantized layers is in levels of their own grids."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from vitquant.layers.weight import LearnedWeight


class LevelAdam(torch.optim.Adam):
    """Adam that moves the weights and biases of ``layers`` by as many levels, not as many units.

    Adam's step has one length for all, whatever the gradients are. In DeiT-Tiny with 4 bits, one
    level of a weight is from 0.001 to 0.1 wide, so one length in units takes this weight through
    its whole grid and leaves that one where it is.
    """

    def __init__(self, groups: Iterable[dict], layers: Iterable[LearnedWeight]) -> None:
        super().__init__(groups, fused=True)
        self._layers = list(layers)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        before = [
            (parameter, parameter.clone(), width)
            for layer in self._layers
            for parameter, width in _levels(layer)
            if parameter.requires_grad
        ]
        loss = super().step(closure)
        for parameter, start, width in before:
            parameter.copy_(start.lerp(parameter, width))
        return loss


def _levels(layer: LearnedWeight) -> Iterator[tuple[Tensor, Tensor]]:
    """The layer's parameters that move in levels, and what a level is in their own units."""
    yield layer.weight, layer.level()
    if layer.bias is not None:
        yield layer.bias, layer.log_scale.exp()
