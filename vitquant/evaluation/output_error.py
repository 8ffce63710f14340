"""How far the outputs of two models lie apart, whatever the outputs are."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vitquant.core import distributed

# Outputs that vary by less, relative to their size, are constant but for rounding.
_CONSTANT = 1e-6
_INFINITE = float("inf")


@dataclass(frozen=True)
class OutputError:
    """How far the outputs of a model lie from those of its reference, on the same images.

    The errors are infinite where an output is NaN or infinite.

    Attributes:
        cosine: the mean cosine similarity of an image's outputs, flattened; 0 for an image with an
            output that is NaN or infinite, None where an image has one number alone.
        relative_error: the root mean square of the difference, divided by the standard deviation of
            the reference's outputs; where these are all the same, by their root mean square.
        mean_absolute_error: the mean of the difference's absolute value.
        not_finite: images for which an output of either model is NaN or infinite.
    """

    cosine: float | None
    relative_error: float
    mean_absolute_error: float
    not_finite: int


def finite_or_none(value: float | None) -> float | None:
    """``value`` as JSON can hold it."""
    return None if value is None or not math.isfinite(value) else value


def is_finite(outputs: Tensor) -> Tensor:
    """(B,), bool: whether all outputs (B, ...) of an image are finite."""
    return outputs.reshape(len(outputs), -1).isfinite().all(1)


class ErrorSums:
    """Adds up batches of outputs (B, ...); a batch need not be on the CPU."""

    def __init__(self) -> None:
        self._sums = torch.zeros(8, dtype=torch.float64)

    def add(self, found: Tensor, expected: Tensor) -> None:
        """Outputs of the model and of the reference for the same images."""
        found, expected = (x.reshape(len(x), -1).cpu().double() for x in (found, expected))
        finite = is_finite(found) & is_finite(expected)
        found, expected, images = found[finite], expected[finite], len(finite)
        difference = found - expected
        self._sums += torch.stack(
            [
                torch.tensor(float(images)),
                torch.tensor(float(images - len(found))),
                torch.tensor(float(found.numel())),
                F.cosine_similarity(found, expected).sum(),
                difference.square().sum(),
                difference.abs().sum(),
                expected.sum(),
                expected.square().sum(),
            ]
        )

    def all_reduce(self) -> None:
        """Add up what the processes have. A collective."""
        distributed.all_reduce([self._sums])

    def result(self) -> OutputError:
        """Of everything that was added; at least one image."""
        images, broken, count, cosine, squares, absolute, total, total_squares = self._sums.tolist()
        mean_cosine = None if count == images - broken else cosine / images
        if broken:
            return OutputError(mean_cosine, _INFINITE, _INFINITE, int(broken))
        size = (total_squares / count) ** 0.5
        variance = max(0.0, total_squares - total**2 / count) / max(1, count - 1)
        spread = variance**0.5
        scale = spread if spread > _CONSTANT * size else size
        error = (squares / count) ** 0.5
        relative = error / scale if scale else (_INFINITE if error else 0.0)
        return OutputError(mean_cosine, relative, absolute / count, 0)
