"""What the activations of a float model look like: a sample of each quantized tensor."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitquant.models.trace import trace
from vitquant.models.wiring import Wiring

_VALUES = 1 << 18


@dataclass
class Sample:
    """Rows drawn from an activation, (N, C) where C is the tensor's last dimension.

    The last two rows hold, for each column, the largest and the smallest value that occurred
    anywhere, so that a scale search sees the tails.
    """

    rows: Tensor

    @property
    def channel_max(self) -> Tensor:
        """(C,): the largest magnitude in each channel."""
        return self.rows.abs().amax(0)


class Samples:
    """Samples of every layer's input and every product's operands.

    layers: by layer name. products: by module name and the product's place in it, (left, right).
    """

    def __init__(self, wiring: Wiring, seed: int) -> None:
        self.layers: dict[str, Sample] = {}
        self.products: dict[tuple[str, int], tuple[Sample, Sample]] = {}
        self._wanted = set(wiring.layers)
        self._generator = torch.Generator().manual_seed(seed)

    def weighted(self, layer: str, caller: str, x: Tensor) -> None:
        if layer in self._wanted:
            self.layers[layer] = self._draw(x)

    def product(self, caller: str, index: int, left: Tensor, right: Tensor) -> None:
        self.products[caller, index] = self._draw(left), self._draw(right)

    def opaque(self, caller: str, what: str) -> None:
        pass

    def _draw(self, x: Tensor) -> Sample:
        rows = x.detach().flatten(0, -2)
        count = max(16, _VALUES // rows.shape[-1])
        if len(rows) <= count:
            return Sample(rows.clone())
        chosen = torch.randint(len(rows), (count,), generator=self._generator).to(rows.device)
        columns = torch.arange(rows.shape[-1], device=rows.device)
        extremes = torch.stack([rows[end(0), columns] for end in (rows.argmax, rows.argmin)])
        return Sample(torch.cat([rows[chosen], extremes]))


def collect(model: nn.Module, images: Tensor, wiring: Wiring, seed: int) -> Samples:
    """Sample the activations of a float model in eval mode on ``images`` (B, C, H, W)."""
    samples = Samples(wiring, seed)
    trace(model, images, samples)
    return samples
