"""Images that show nothing: the worst case to calibrate with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image


class NoiseSource:
    """`n` images of Gaussian noise, independent for each pixel and channel, made when asked for.

    Standard normal values are scaled to mean 128 and standard deviation 64, clipped to 0…255 and
    rounded down: about the range of photographs, so that input normalization sees nothing unusual.

    size: (height, width) in pixels. Image i depends on the seed, i and the size alone.
    """

    def __init__(self, n: int, size: tuple[int, int], seed: int) -> None:
        self.name = "noise"
        self.labels: Sequence[int] | None = None
        self.skipped: Mapping[str, int] = {}
        self._n = n
        self._size = size
        self._seed = seed

    def __len__(self) -> int:
        return self._n

    def image(self, i: int) -> Image.Image:
        """Image i, RGB."""
        values = np.random.default_rng([self._seed, i]).standard_normal((*self._size, 3))
        return Image.fromarray(np.clip(128 + 64 * values, 0, 255).astype(np.uint8))
