"""What the activations of a float model look like: a sample of each quantized tensor."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitquant.models.trace import trace
from vitquant.models.wiring import Wiring

_VALUES = 1 << 18
_PRODUCT_VALUES = 1 << 19


@dataclass
class Sample:
    """Rows drawn from an activation whose last dimension has C elements.

    rows: (N, C). channel_max: (C,), the largest magnitude in each channel among all rows, drawn or
    not.
    """

    rows: Tensor
    channel_max: Tensor


class Samples:
    """Samples of every layer's input and every product's operands.

    layers: by layer name. products: by module name and the product's place in it, (left, right).
    """

    def __init__(self, wiring: Wiring, seed: int) -> None:
        self.layers: dict[str, Sample] = {}
        self.products: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}
        self._wanted = set(wiring.layers)
        self._generator = torch.Generator().manual_seed(seed)

    def weighted(self, layer: str, caller: str, x: Tensor) -> None:
        if layer in self._wanted:
            self.layers[layer] = self._draw(x)

    def product(self, caller: str, index: int, left: Tensor, right: Tensor) -> None:
        kept = max(1, _PRODUCT_VALUES // max(left[0].numel(), right[0].numel()))
        chosen = slice(None, None, max(1, math.ceil(len(left) / kept)))
        self.products[caller, index] = left[chosen].clone(), right[chosen].clone()

    def opaque(self, caller: str, what: str) -> None:
        pass

    def _draw(self, x: Tensor) -> Sample:
        rows = x.detach().flatten(0, -2)
        count = max(16, _VALUES // rows.shape[-1])
        channel_max = rows.abs().amax(0)
        if len(rows) > count:
            chosen = torch.randint(len(rows), (count,), generator=self._generator)
            rows = rows[chosen.to(rows.device)]
        return Sample(rows.clone(), channel_max)


def collect(model: nn.Module, images: Tensor, wiring: Wiring, seed: int) -> Samples:
    """Sample the activations of a float model in eval mode on ``images`` (B, C, H, W)."""
    samples = Samples(wiring, seed)
    trace(model, images, samples)
    return samples
