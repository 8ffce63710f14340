"""A picture in a report."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Picture:
    """An encoded image.

    data: the bytes of a file. media_type: ``image/jpeg`` or ``image/png``. width, height: in
    pixels. alt: what is to be seen, in words.
    """

    data: bytes
    media_type: str
    width: int
    height: int
    alt: str
