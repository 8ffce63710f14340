"""How images are read, from the option to the figures."""

import numpy as np
import pytest
from PIL import Image

import vitquant
from vitquant.core.errors import UserError
from vitquant.core.progress import Silent
from vitquant.data.sources.digits import CLASS_NAMES, digits

QUICK = {"method": "rtn", "samples": 8, "init_images": 8}
TEST = digits("test")[:20]


class Heard(Silent):
    """Keeps warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture
def phone(tmp_path):
    """Digits that lie on their side, with an EXIF orientation that says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for i, (image, label) in enumerate(TEST):
        path = tmp_path / "phone" / CLASS_NAMES[label] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    (tmp_path / "phone" / "notes.txt").write_text("of a phone")
    return tmp_path / "phone"


def test_evaluation_warns_once_and_the_option_applies_what_it_warns_of(phone):
    stored, viewed = Heard(), Heard()
    lying = vitquant.evaluate("vit_digits", phone, progress=stored, reference="vit_digits")
    upright = vitquant.evaluate("vit_digits", phone, progress=viewed, as_viewed=True)
    passed_over = f"data {phone}: 1 file passed over: 1 .txt"
    assert stored.warnings == [
        passed_over,
        "20 images with an EXIF rotation used as stored, as timm reads them; as_viewed applies "
        "both",
    ]
    assert viewed.warnings == [passed_over]
    assert lying.found.accuracy.top1 < 0.5 < upright.found.accuracy.top1


def test_calibration_counts_the_images_that_it_uses(phone):
    heard = Heard()
    quantized = vitquant.quantize("vit_digits", "w8a8", str(phone), progress=heard, **QUICK)
    assert heard.warnings[-1].startswith("8 images with an EXIF rotation used as stored")
    assert quantized.header.settings["as_viewed"] is False


def test_pil_images_are_read_as_files_are():
    gray = [np.asarray(image.convert("L")).astype(np.uint16) * 257 for image, _ in TEST[:8]]
    deep = [Image.fromarray(values) for values in gray]
    assert deep[0].mode == "I;16"
    plain = [image for image, _ in TEST[:8]]
    ours, theirs = (vitquant.quantize("vit_digits", "w8a8", p, **QUICK) for p in (deep, plain))
    for name, tensor in ours.module.state_dict().items():
        assert (tensor == theirs.module.state_dict()[name]).all(), name


def test_pil_images_with_transparency():
    heard = Heard()
    clear = [Image.new("LA", (32, 32), (200, i)) for i in range(8)]
    vitquant.quantize("vit_digits", "w8a8", clear, progress=heard, **QUICK)
    assert heard.warnings == [
        "8 images used without transparency, as timm reads them; as_viewed applies both"
    ]
    vitquant.quantize("vit_digits", "w8a8", clear, progress=heard, as_viewed=True, **QUICK)
    assert len(heard.warnings) == 1


def test_pil_image_without_a_known_range():
    images = [TEST[0][0], Image.new("F", (32, 32), -1.0)]
    with pytest.raises(UserError, match=r"^calib: image 1 cannot be read \(floats from -1 to -1"):
        vitquant.quantize("vit_digits", "w8a8", images, **QUICK)


def test_the_option_needs_files():
    with pytest.raises(UserError, match=r"^as_viewed: calib='digits' does not use it"):
        vitquant.quantize("vit_digits", "w8a8", "digits", as_viewed=True)
