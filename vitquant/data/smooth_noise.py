"""Images to verify with where none are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image

from vitquant.data.sources.noise import NoiseSource

_COARSE = 12


class SmoothNoiseSource:
    """`n` pictures of smooth noise: like photographs, they are brighter here and darker there.

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
