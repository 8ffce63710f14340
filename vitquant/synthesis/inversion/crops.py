"""What of an image the model is shown in an iteration: shifted, flipped, a part of it enlarged.

A crop is two products with matrices, one for the rows and one for the columns of an image, so that
its gradient is the same in every run, on a GPU too.
"""

import random
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class CropAxis:
    """What is seen along one axis of ``size`` pixels.

    start: the first pixel; what lies beyond an end goes on at the other one. length: how many
    pixels, at most ``size``; they are enlarged to ``size``. flipped: from the last to the first.
    """

    size: int
    start: float
    length: float
    flipped: bool = False

    def matrix(self) -> Tensor:
        """(size, size): what each pixel seen is made of; each row sums to 1.

        Linear interpolation between the centers of pixels. Where the length is the size and the
        start an integer, every row has a single 1.
        """
        seen = torch.arange(self.size, dtype=torch.float64)
        at = self.start + (seen + 0.5) * self.length / self.size - 0.5
        # A part has an edge, and nothing beyond it is seen; the whole has none.
        if self.length < self.size:
            at = at.clamp(self.start, self.start + self.length - 1)
        low = at.floor()
        share = (at - low).float()
        matrix = torch.zeros(self.size, self.size)
        rows = torch.arange(self.size)
        matrix[rows, low.long() % self.size] = 1 - share
        matrix[rows, (low.long() + 1) % self.size] += share
        return matrix.flip(0) if self.flipped else matrix


def sample_crop(
    rng: random.Random, height: int, width: int, area: float, jitter: int
) -> tuple[CropAxis, CropAxis]:
    """Rows and columns of a random part of an image.

    area: share of the image's area; the part has the image's shape. jitter: by how many pixels at
    most the image is shifted first, round its edges.
    """
    axes = []
    for size in (height, width):
        length = size * area**0.5 if area < 1 else size
        shift = rng.randint(-jitter, jitter)
        axes.append((size, shift + rng.random() * (size - length), length))
    rows, columns = axes
    return CropAxis(*rows), CropAxis(*columns, flipped=rng.random() < 0.5)


def apply_crops(images: Tensor, crops: list[tuple[CropAxis, CropAxis]]) -> Tensor:
    """Each of ``images`` (B, 3, H, W) cropped by rows and columns, same shape; differentiable."""
    rows = torch.stack([row.matrix() for row, _ in crops]).to(images)
    columns = torch.stack([column.matrix() for _, column in crops]).to(images)
    return rows[:, None] @ images @ columns[:, None].mT
