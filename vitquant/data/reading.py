"""How the pixels of images are read, and what is worth a warning about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image

from vitquant.core import distributed
from vitquant.data.rgb import alpha, as_viewed, to_rgb, turn


def _ignore(message: str) -> None:
    pass


@dataclass(frozen=True)
class Reading:
    """How the images of one source become RGB. Several threads may use it.

    as_viewed: turn images as EXIF says, and lay transparent ones over white. By default both are
        ignored, as in timm's readers, so that accuracies can be compared with timm's.
    option: what the user writes to turn ``as_viewed`` on; empty where it cannot be.
    warn: is called with one line about something the user should know.
    """

    as_viewed: bool = False
    option: str = ""
    warn: Callable[[str], None] = _ignore
    _turned: set[str] = field(default_factory=set, init=False)
    _transparent: set[str] = field(default_factory=set, init=False)

    def rgb(self, image: Image.Image, name: str) -> Image.Image:
        """The image as 8-bit RGB, in memory of its own; `name` tells it from others.

        Raises what Pillow's decoders raise, and ValueError for values without a known range.
        """
        image.load()  # TIFF files are turned by Pillow itself, and PNG may have EXIF at its end
        if self.as_viewed:
            return as_viewed(image)
        if turn(image) is not None:
            self._turned.add(name)
        if alpha(image) is not None:
            self._transparent.add(name)
        return to_rgb(image)

    def report(self, *, divided: bool = False) -> None:
        """Warn of the images read so far that a viewer would show otherwise.

        divided: whether each of several processes has read images of its own; a collective then.
        """
        counts: list[float] = [len(self._turned), len(self._transparent)]
        turned, transparent = map(
            int, distributed.all_reduce_scalars(counts) if divided else counts
        )
        parts = [
            *([f"{_images(turned)} with an EXIF rotation used as stored"] if turned else []),
            *([f"{_images(transparent)} used without transparency"] if transparent else []),
        ]
        if parts:
            advice = f"; {self.option} applies both" if self.option else ""
            self.warn(f"{', '.join(parts)}, as timm reads them{advice}")


def _images(count: int) -> str:
    return f"{count} image{'' if count == 1 else 's'}"
