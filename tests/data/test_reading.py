"""Images are read as timm reads them, with one warning, or as a viewer shows them."""

import io
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image, features

from vitquant.core.errors import UserError
from vitquant.data.decode import decode, extensions
from vitquant.data.reading import Reading

OPTION = "--as-viewed"


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def turned(form: str = "JPEG") -> bytes:
    """Left half black, right half white, to be turned by a quarter."""
    image = Image.new("RGB", (32, 16))
    image.paste("white", (16, 0, 32, 16))
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(image, form, exif=exif)


CLEAR = encoded(Image.new("RGBA", (4, 4)), "PNG")
PLAIN = encoded(Image.new("RGB", (4, 4)), "PNG")


def read(data: bytes, reading: Reading | None = None, name: str = "a") -> Image.Image:
    return decode(data, name=name, flag="--data", reading=reading)


def test_one_warning_counts_what_a_viewer_would_show_otherwise():
    heard: list[str] = []
    reading = Reading(option=OPTION, warn=heard.append)
    for name, data in {"a": turned(), "b": CLEAR, "c": CLEAR, "d": PLAIN}.items():
        for _ in range(2):  # as for a reference with a preprocessing of its own
            read(data, reading, name)
    assert heard == []
    reading.report()
    assert heard == [
        "1 image with an EXIF rotation used as stored, 2 images used without transparency, as timm "
        "reads them; --as-viewed applies both"
    ]


def test_nothing_to_warn_of():
    heard: list[str] = []
    for reading in (Reading(warn=heard.append), Reading(as_viewed=True, warn=heard.append)):
        read(PLAIN if not reading.as_viewed else CLEAR, reading)
        reading.report()
    assert heard == []


def test_no_option_is_named_that_is_not_there():
    heard: list[str] = []
    reading = Reading(warn=heard.append)
    read(CLEAR, reading)
    reading.report()
    assert heard == ["1 image used without transparency, as timm reads them"]


def test_threads_count_each_image_once():
    heard: list[str] = []
    reading = Reading(warn=heard.append)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: read(CLEAR, reading, str(i % 10)), range(80)))
    reading.report()
    assert heard[0].startswith("10 images used without")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_orientation(form):
    assert read(turned(form)).size == (32, 16)
    upright = read(turned(form), Reading(as_viewed=True))
    assert upright.size == (16, 32)
    assert upright.getpixel((8, 4))[0] < 20
    assert upright.getpixel((8, 28))[0] > 235


def test_pillow_turns_tiff_itself():
    heard: list[str] = []
    reading = Reading(warn=heard.append)
    assert read(turned("TIFF"), reading).size == (16, 32)
    reading.report()
    assert heard == []
    assert read(turned("TIFF"), Reading(as_viewed=True)).size == (16, 32)


def test_transparency():
    assert read(CLEAR).getpixel((0, 0)) == (0, 0, 0)
    assert read(CLEAR, Reading(as_viewed=True)).getpixel((0, 0)) == (255, 255, 255)


# The rows of the table of formats in docs/how-to/your-images.md.
@pytest.mark.parametrize(
    ("ending", "options"),
    [
        (".jpg", {}),
        (".jpeg", {}),
        (".jfif", {}),
        (".png", {}),
        (".webp", {"lossless": True}),
        (".bmp", {}),
        (".tif", {}),
        (".tiff", {"compression": "tiff_lzw"}),
        (".gif", {}),
        (".ppm", {}),
        (".jp2", {}),
        (".tga", {}),
        (".avif", {}),
    ],
)
def test_formats(ending, options):
    form = extensions().get(ending)
    if form is None:
        assert (ending, features.check("avif")) == (".avif", False)
        pytest.skip("this Pillow decodes no AVIF")
    image = read(encoded(Image.new("RGB", (16, 16), (200, 100, 40)), form, **options))
    assert (image.mode, image.size) == ("RGB", (16, 16))
    assert image.getpixel((8, 8)) == pytest.approx((200, 100, 40), abs=4)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame(form):
    frames = [Image.new("RGB", (16, 16), (red, 0, 0)) for red in (200, 20)]
    lossless = {"lossless": True} if form == "WEBP" else {}
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:], **lossless)
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames == 2
    assert read(data).getpixel((8, 8)) == (200, 0, 0)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_16_bit_gray(form):
    image = Image.new("I;16", (16, 16), 100 * 257)
    assert read(encoded(image, form)).getpixel((0, 0)) == (100, 100, 100)


def test_dark_16_bit_gray_is_not_taken_for_8_bit():
    image = Image.new("I;16", (16, 16), 255)
    assert read(encoded(image, "PPM")).getpixel((0, 0)) == (1, 1, 1)


def test_cmyk_file():
    image = Image.new("RGB", (16, 16), (200, 100, 40)).convert("CMYK")
    assert read(encoded(image, "JPEG")).getpixel((8, 8)) == pytest.approx((200, 100, 40), abs=4)


def test_values_that_have_no_range_are_explained():
    data = encoded(Image.new("F", (4, 4), -1.0), "TIFF")
    with pytest.raises(UserError, match=r"cannot read a \(floats from -1 to -1, where 0 to 1 or"):
        read(data)


def test_very_large_image(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UserError, match=r"^--data: cannot read a \(more than 200 pixels\); make"):
        read(turned())


@pytest.mark.parametrize("ending", [".eps", ".ps", ".pdf", ".mpg", ".h5", ".txt", ".db", ""])
def test_not_taken_for_images(ending):
    assert ending not in extensions()


def test_postscript_is_not_executed():
    data = encoded(Image.new("RGB", (4, 4)), "EPS")
    with pytest.raises(UserError, match="not an image in a format that Pillow knows"):
        read(data)
