"""Images, or texts, that are looked at many times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from PIL import Image

from vitquant.data.image_source import ImageSource

# 1,024 photographs of ImageNet take less than one, as many of a telephone fifty.
_MOST_BYTES = 4 * 2**30
_BYTES_PER_PIXEL = 4


class KeptImages:
    """Chosen images of a source, all decoded once, and kept in memory as far as it goes.

    The others are decoded again when asked for. indices: of the source, in order. labeled: whether
    the labels are kept too.

    Raises UserError for an image that cannot be read.
    """

    def __init__(
        self,
        source: ImageSource,
        indices: Iterable[int],
        most_bytes: int = _MOST_BYTES,
        labeled: bool = False,
    ) -> None:
        self.name = source.name
        labels: list[int] = []
        self.skipped: Mapping[str, int] = {}
        self._source = source
        self._images: list[Any] = []
        for i in indices:
            image: Any = source.image(i)
            if isinstance(image, Image.Image):
                most_bytes -= image.width * image.height * _BYTES_PER_PIXEL
            self._images.append(image if most_bytes >= 0 else i)
            if labeled and source.labels is not None:  # which a stream knows behind the image
                labels.append(source.labels[i])
        self.labels: Sequence[int] | None = labels or None

    def __len__(self) -> int:
        return len(self._images)

    def image(self, i: int) -> Any:
        """Image i, RGB, or text i."""
        kept = self._images[i]
        return self._source.image(kept) if isinstance(kept, int) else kept
