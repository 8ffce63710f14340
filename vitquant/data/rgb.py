"""Any image that Pillow holds, as 8-bit RGB."""

from __future__ import annotations

import numpy as np
from PIL import Image
from PIL.Image import Transpose

_ORIENTATION = 0x0112
# EXIF's orientations, and what makes such an image upright, as in ImageOps.exif_transpose.
_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
# Formats whose images of mode I are 16-bit gray, scaled to the whole range.
_GRAY_16 = ("PNG", "PPM")
_MOST_8, _MOST_16 = 255, 65535


def to_rgb(image: Image.Image) -> Image.Image:
    """The image as RGB, 8 bits a channel, as a viewer shows it; transparency is dropped.

    It is Pillow's conversion, as in timm's readers, but for what that would clip or refuses:

    - 16-bit gray: 65535 becomes 255.
    - I (32-bit integers): of a PNG or PPM file as 16-bit gray. Else values up to 255 are 8-bit
      gray, and values up to 65535 16-bit gray.
    - F (floats): values from 0 to 1 become 0 to 255, values from 0 to 255 are 8-bit gray.
    - La and RGBa: colors are divided by alpha first.

    Raises ValueError for integers and floats outside of these ranges.
    """
    if image.mode == "F":
        return _from_floats(image)
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _from_integers(image)
    return _straight(image).convert("RGB")


def alpha(image: Image.Image) -> Image.Image | None:
    """Opacity from 0 to 255 as an L image; None where all of the image is opaque."""
    if not image.has_transparency_data:
        return None
    key = image.info.get("transparency")
    if image.mode == "I" or image.mode.startswith("I;16"):
        # Pillow would compare after clipping.
        opaque = np.asarray(image) != key
        found = Image.fromarray((opaque * 255).astype(np.uint8))
    else:
        found = _straight(image).convert("RGBA").getchannel("A")
    return None if found.getextrema() == (255, 255) else found


def turn(image: Image.Image) -> Transpose | None:
    """What makes the image upright, as its EXIF data says; None where it is upright already."""
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF data, which says nothing
        return None


def as_viewed(image: Image.Image) -> Image.Image:
    """As :func:`to_rgb`, but turned as EXIF says, and laid over white where transparent."""
    shown, opacity, turned = to_rgb(image), alpha(image), turn(image)
    if opacity is not None:
        shown = Image.composite(shown, Image.new("RGB", shown.size, "white"), opacity)
    return shown if turned is None else shown.transpose(turned)


def _straight(image: Image.Image) -> Image.Image:
    """With colors that are not multiplied by alpha, which Pillow converts to few modes."""
    premultiplied = {"La": "LA", "RGBa": "RGBA"}
    if image.mode in premultiplied:
        return image.convert(premultiplied[image.mode])
    return image


def _from_integers(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > _MOST_16:
        raise ValueError(
            f"integers from {low} to {high}, where 0 to 255 or 0 to 65535 are accepted"
        )
    if image.mode == "I" and image.format not in _GRAY_16 and high <= _MOST_8:
        return image.convert("RGB")
    step = _MOST_16 // _MOST_8
    return _gray((values.astype(np.int32) + step // 2) // step)


def _from_floats(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= _MOST_8):
        raise ValueError(f"floats from {low:g} to {high:g}, where 0 to 1 or 0 to 255 are accepted")
    return _gray(np.rint(values * _MOST_8 if high <= 1 else values))


def _gray(values: np.ndarray) -> Image.Image:
    return Image.fromarray(values.astype(np.uint8)).convert("RGB")
