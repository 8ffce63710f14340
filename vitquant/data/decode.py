"""From the bytes of a file to an image."""

from __future__ import annotations

import io

from PIL import Image, UnidentifiedImageError

from vitquant.core.errors import UserError, first_line

# What Pillow's decoders raise on damaged files, found by what they do rather than documented.
_DAMAGE = (OSError, SyntaxError, ValueError, IndexError, EOFError, Image.DecompressionBombError)


def decode(data: bytes, *, name: str, flag: str) -> Image.Image:
    """The image in `data`, as RGB, all pixels decoded.

    Raises UserError, which calls the file `name`, if it is no image or is damaged.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.convert("RGB")
    except UnidentifiedImageError:
        raise unreadable("not an image in a format that Pillow knows", name, flag) from None
    except _DAMAGE as error:
        raise unreadable(first_line(error), name, flag) from error


def unreadable(reason: str, name: str, flag: str) -> UserError:
    """The error for an image that cannot be used."""
    return UserError(
        f"{flag}: cannot read {name} ({reason}); "
        "it should be a readable image: replace the file or remove it"
    )
