"""How far the features of a quantized model are from its float model's, block by block."""

import torch
import torch.nn.functional as F
from torch import Tensor

from vitquant.quantization.training.features import Outputs
from vitquant.reports.sections.errors import BlockError, BlockErrors

_INFINITE = float("inf")


class FeatureSums:
    """Adds up batches of features."""

    def __init__(self, blocks: int) -> None:
        self._images = 0
        # For each block: squares of the difference and of the float features, and cosines.
        self._whole = torch.zeros(blocks, 3, dtype=torch.float64)
        self._own = torch.zeros(blocks, 3, dtype=torch.float64)

    def add(self, expected: Outputs, found: Outputs, fed: Outputs) -> None:
        """Of the float model, of the quantized one, and of that with float features fed."""
        self._images += len(expected.logits)
        for sums, outputs in ((self._whole, found), (self._own, fed)):
            for row, a, b in zip(sums, outputs.features, expected.features, strict=True):
                row += compare(a, b)

    def result(self, names: tuple[str, ...]) -> BlockErrors | None:
        """None where there was no image, or there is no block."""
        if not self._images or not names:
            return None
        rows = zip(names, self._whole.tolist(), self._own.tolist(), strict=True)
        blocks = [
            BlockError(name, *_figures(whole, self._images), *_figures(own, self._images))
            for name, whole, own in rows
        ]
        return BlockErrors(self._images, tuple(blocks))


def compare(found: Tensor, expected: Tensor) -> Tensor:
    """(3,) float64 on the CPU, for tensors of B images: squares of the difference and of
    ``expected``, and cosines, all added up."""
    found, expected = (x.reshape(len(expected), -1).cpu().double() for x in (found, expected))
    squares = (found - expected).square().sum(), expected.square().sum()
    return torch.stack([*squares, F.cosine_similarity(found, expected).sum()])


def relative_error(squares: float, of: float) -> float:
    """The root of a ratio of sums of squares; infinite where they are not finite."""
    if not torch.tensor([squares, of]).isfinite().all():
        return _INFINITE
    return (squares / of) ** 0.5 if of else (_INFINITE if squares else 0.0)


def _figures(sums: list[float], images: int) -> tuple[float, float]:
    return relative_error(sums[0], sums[1]), sums[2] / images
