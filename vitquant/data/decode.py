"""From the bytes of a file to an image."""

from __future__ import annotations

import io
from functools import cache

from PIL import Image, UnidentifiedImageError

from vitquant.core.errors import UserError, first_line
from vitquant.data.reading import Reading

# Pillow knows their heads but does not decode them, or has another program execute them (EPS).
_NOT_DECODED = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"}


# The order in which they are tried matters to speed alone: each has a signature.
_COMMON = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")


@cache
def extensions() -> dict[str, str]:
    """What names of images end in, in lower case, and the format, of all that Pillow decodes."""
    known = Image.registered_extensions()  # of the formats that this Pillow was built with
    # Pillow opens MPO, a JPEG of several frames, as JPEG.
    formats = (Image.OPEN.keys() | {"MPO"}) - _NOT_DECODED
    return {extension: name for extension, name in known.items() if name in formats}


@cache
def _formats() -> tuple[str, ...]:
    found = set(extensions().values()) & Image.OPEN.keys()
    return tuple(sorted(found, key=lambda name: (name not in _COMMON, name)))


def decode(data: bytes, *, name: str, flag: str, reading: Reading | None = None) -> Image.Image:
    """The image in `data`, or its first frame, as 8-bit RGB, all pixels decoded.

    reading: how; by default as timm reads it.

    Raises UserError, which calls the file `name`, if it is no image, is damaged or is too large.
    """
    reading = reading or Reading()
    try:
        with Image.open(io.BytesIO(data), formats=_formats()) as image:
            return reading.rgb(image, name)
    except UnidentifiedImageError:
        raise unreadable("not an image in a format that Pillow knows", name, flag) from None
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise UserError(
            f"{flag}: cannot read {name} (more than {limit:,} pixels); make it smaller, or remove "
            f"it"
        ) from error
    except Exception as error:  # what decoders raise on damaged files is not documented
        raise unreadable(first_line(error), name, flag) from error


def unreadable(reason: str, name: str, flag: str) -> UserError:
    """The error for an image that cannot be used."""
    return UserError(
        f"{flag}: cannot read {name} ({reason}); "
        "it should be a readable image: replace the file or remove it"
    )
