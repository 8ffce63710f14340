"""Adam over images that each are at an iteration of their own."""

from collections.abc import Sequence

import torch
from torch import Tensor

_BETAS = (0.5, 0.9)
_EPS = 1e-8


class ImageAdam:
    """Images and what Adam (Kingma, Ba, arXiv 1412.6980) remembers of the gradient of each.

    images: (B, C, H, W), each of which may be exchanged for another that starts anew.
    """

    def __init__(self, images: Tensor) -> None:
        self.images = images
        self._mean, self._square = torch.zeros_like(images), torch.zeros_like(images)

    def restart(self, row: int, image: Tensor) -> None:
        """Put ``image`` in the place of one that is finished."""
        self.images[row] = image
        self._mean[row] = 0
        self._square[row] = 0

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these alone."""
        index = torch.tensor(rows, dtype=torch.long, device=self.images.device)
        self.images, self._mean, self._square = (
            x.index_select(0, index) for x in (self.images, self._mean, self._square)
        )

    @torch.no_grad()
    def step(self, gradient: Tensor, rates: Sequence[float], steps: Sequence[int]) -> None:
        """One step of each image. rates: their learning rates. steps: how many were taken before,
        of each."""
        first, second = _BETAS
        self._mean.lerp_(gradient, 1 - first)
        self._square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        scales = [rate / (1 - first ** (n + 1)) for rate, n in zip(rates, steps, strict=True)]
        roots = [(1 - second ** (n + 1)) ** 0.5 for n in steps]
        scale, root = (
            torch.tensor(x, device=gradient.device, dtype=gradient.dtype).view(-1, 1, 1, 1)
            for x in (scales, roots)
        )
        self.images.sub_(self._mean / (self._square.sqrt() / root + _EPS) * scale)
