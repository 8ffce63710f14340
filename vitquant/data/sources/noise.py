"""Images that show nothing: the worst case to calibrate with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

_COARSE = 12


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


class SmoothNoiseSource:
    """`n` images of smooth noise: like photographs, they are brighter here and darker there.

    size: (height, width) that a model sees. The pictures are half as large again in one direction
    and a quarter in the other, so that they have to be resized and cropped.
    """

    def __init__(self, n: int, size: tuple[int, int], seed: int = 0) -> None:
        self.name = "smooth noise"
        self.labels: Sequence[int] | None = None
        self.skipped: Mapping[str, int] = {}
        self._noise = NoiseSource(n, (_COARSE, _COARSE), seed)
        self._size = size

    def __len__(self) -> int:
        return len(self._noise)

    def image(self, i: int) -> Image.Image:
        """Picture i, RGB."""
        height, width = self._size
        larger = (width + width // 2, height + height // 4)
        return self._noise.image(i).resize(larger, Image.Resampling.BICUBIC)
