"""What each mode of Pillow becomes: the rows of the table in docs/how-to/your-images.md."""

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from vitquant.data.rgb import alpha, as_viewed, to_rgb, turn

ORANGE = (200, 100, 40)
GRAY = (100, 100, 100)
HALF = 128
NAMED = ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB"]
NAMED += ["HSV", "I", "I;16", "I;16B", "I;16L", "I;16N", "F"]


def pixel(image: Image.Image) -> tuple[int, ...]:
    assert (image.mode, image.size) == ("RGB", (2, 2))
    assert len(image.getcolors()) == 1
    return image.getpixel((0, 0))


def flat(mode: str, value: object) -> Image.Image:
    return Image.new(mode, (2, 2), value)


def filled(value: float, dtype: type) -> Image.Image:
    return Image.fromarray(np.full((2, 2), value, dtype))


def orange(mode: str) -> Image.Image:
    """An orange image in a mode that has colors, half transparent where it has opacity."""
    image = flat("RGB", ORANGE)
    if mode == "LAB":
        profiles = [ImageCms.createProfile(name) for name in ("sRGB", "LAB")]
        return ImageCms.profileToProfile(image, *profiles, outputMode="LAB")
    if mode in ("RGBA", "RGBa", "PA"):
        image.putalpha(HALF)
    return image.convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "RGBX", "CMYK"])
def test_colors(mode):
    assert pixel(to_rgb(orange(mode))) == ORANGE


@pytest.mark.parametrize("mode", ["RGBa", "P", "YCbCr", "HSV", "LAB"])
def test_colors_that_a_mode_rounds(mode):
    assert pixel(to_rgb(orange(mode))) == pytest.approx(ORANGE, abs=11 if mode == "P" else 4)


def test_palette_with_opacity():
    image = flat("PA", (0, HALF))
    image.putpalette([*ORANGE], "RGB")
    assert pixel(to_rgb(image)) == ORANGE


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (flat("1", 1), 255),
        (flat("1", 0), 0),
        (flat("L", 100), 100),
        (flat("LA", (100, HALF)), 100),
        (flat("LA", (100, HALF)).convert("La"), 100),
        (filled(65535, np.uint16), 255),
        (filled(100 * 257, np.uint16), 100),
        (filled(128, np.uint16), 0),
        (filled(129, np.uint16), 1),
        (filled(100 * 257, np.dtype(">u2")), 100),
        (flat("I;16B", 100 * 257), 100),
        (flat("I;16L", 100 * 257), 100),
        (flat("I", 255), 255),
        (flat("I", 65535), 255),
        (flat("I", 100 * 257), 100),
        (flat("F", 0.5), 128),
        (flat("F", 1.0), 255),
        (flat("F", 99.6), 100),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else str(value),
)
def test_gray(image, expected):
    assert pixel(to_rgb(image)) == pytest.approx((expected,) * 3, abs=image.mode == "La")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (flat("I", -1), "integers from -1 to -1"),
        (flat("I", 65536), "integers from 65536 to 65536"),
        (flat("F", -0.5), "floats from -0.5 to"),
        (flat("F", 256.0), "floats from 256 to"),
        (flat("F", float("nan")), "floats from nan to nan"),
        (flat("F", float("inf")), "floats from inf to inf"),
    ],
)
def test_values_without_a_known_range_are_refused(image, message):
    with pytest.raises(ValueError, match=message):
        to_rgb(image)


def test_no_mode_is_left_out():
    for mode in NAMED:
        assert pixel(to_rgb(Image.new(mode, (2, 2))))
    assert not set(getattr(Image, "MODES", ())) - set(NAMED)


def transparent_palette() -> Image.Image:
    image = flat("P", 0)
    image.putpalette([*ORANGE, 0, 0, 0])
    image.info["transparency"] = 0
    return image


def keyed(image: Image.Image, key: object) -> Image.Image:
    image.info["transparency"] = key
    return image


OVER_WHITE = tuple(round((c * HALF + 255 * (255 - HALF)) / 255) for c in ORANGE)


@pytest.mark.parametrize(
    ("image", "stored", "viewed"),
    [
        (orange("RGBA"), ORANGE, OVER_WHITE),
        (orange("RGBa"), ORANGE, OVER_WHITE),
        (flat("LA", (0, 0)), (0, 0, 0), (255, 255, 255)),
        (flat("LA", (0, 0)).convert("La"), (0, 0, 0), (255, 255, 255)),
        (flat("PA", (0, 0)), (0, 0, 0), (255, 255, 255)),
        (transparent_palette(), ORANGE, (255, 255, 255)),
        (keyed(flat("RGB", ORANGE), ORANGE), ORANGE, (255, 255, 255)),
        (keyed(flat("L", 100), 100), GRAY, (255, 255, 255)),
        (keyed(filled(25700, np.uint16), 25700), GRAY, (255, 255, 255)),
        (keyed(flat("I", 25700), 25700), GRAY, (255, 255, 255)),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "",
)
def test_transparency(image, stored, viewed):
    assert pixel(to_rgb(image)) == pytest.approx(stored, abs=image.mode in ("RGBa", "La"))
    assert pixel(as_viewed(image)) == pytest.approx(viewed, abs=1)
    assert alpha(image) is not None


@pytest.mark.parametrize(
    "image",
    [
        flat("RGB", ORANGE),
        flat("RGBA", (*ORANGE, 255)),
        flat("RGBX", ORANGE),
        flat("LA", (100, 255)),
        keyed(flat("RGB", ORANGE), (1, 2, 3)),
        keyed(filled(25700, np.uint16), 255),
    ],
    ids=lambda image: image.mode,
)
def test_opaque_images_are_the_same_either_way(image):
    assert alpha(image) is None
    assert as_viewed(image).tobytes() == to_rgb(image).tobytes()


@pytest.mark.parametrize("orientation", range(10))
def test_orientation(orientation):
    noise = np.random.default_rng(0).integers(0, 256, (3, 2, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    image.getexif()[0x0112] = orientation
    assert (turn(image) is None) == (orientation not in range(2, 9))
    assert to_rgb(image).tobytes() == noise.tobytes()
    expected = ImageOps.exif_transpose(image)
    assert as_viewed(image).size == expected.size
    assert as_viewed(image).tobytes() == expected.tobytes()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_says_nothing():
    image = flat("RGB", ORANGE)
    image.info["exif"] = b"Exif\0\0II*\0 is damaged"
    assert turn(image) is None
    assert pixel(as_viewed(image)) == ORANGE
