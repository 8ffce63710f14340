"""Resizing, cropping and normalising in the graph is what timm's transform does."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from vitquant.core.errors import UserError
from vitquant.exporters.onnx.preprocessing import Preprocessing
from vitquant.exporters.runtimes.registry import open_exported

SETTINGS = {
    "input_size": (3, 224, 224), "interpolation": "bicubic", "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225), "crop_pct": 0.9, "crop_mode": "center",
}  # fmt: skip
SIZES = [(224, 224), (500, 375), (333, 517), (640, 480), (100, 60), (1201, 799)]


def picture(width, height):
    rng = np.random.default_rng(width)
    noise = rng.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def raw(image):
    """(1, H, W, 3) uint8."""
    return torch.from_numpy(np.array(image))[None]


def levels_apart(settings, image):
    """How far the two forms lie apart at each value, in levels of brightness."""
    expected = timm.data.create_transform(**settings, is_training=False)(image)
    found = Preprocessing(settings)(raw(image))[0]
    return (found - expected).abs() * 255 * torch.tensor(settings["std"]).view(3, 1, 1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "changes",
    [{}, {"crop_pct": 0.875}, {"crop_pct": 1.0, "input_size": (3, 32, 32)}, {"crop_mode": None}],
)
def test_it_is_the_transform_of_timm(changes, size):
    apart = levels_apart(SETTINGS | changes, picture(*size))
    # Pillow computes in integers, and now and then rounds a half the other way.
    assert apart.max() < 1.1
    assert (apart > 0.1).float().mean() < 1e-3


@pytest.mark.parametrize("size", SIZES)
def test_other_interpolation(size):
    apart = levels_apart(SETTINGS | {"interpolation": "bilinear"}, picture(*size))
    assert apart.max() < 2.1
    assert (apart > 0.1).float().mean() < 0.02


@pytest.mark.parametrize("size", SIZES)
def test_squashing(size):
    apart = levels_apart(SETTINGS | {"crop_mode": "squash"}, picture(*size))
    # Pillow may begin with the columns, and then rounds other values in between.
    assert apart.max() < 6
    assert apart.mean() < 0.3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"interpolation": "lanczos"}, ("'lanczos'", "bicubic and bilinear")),
        ({"crop_mode": "border"}, ("'border'", "center and squash")),
        ({"input_size": (3, 224, 256)}, ("square",)),
        ({"crop_pct": 1.1}, ("at most 1",)),
    ],
)
def test_what_has_no_such_form(changes, words):
    with pytest.raises(UserError, match=r"^--with-preprocessing: ") as raised:
        Preprocessing(SETTINGS | changes)
    assert all(word in str(raised.value) for word in words)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["vit", "swin"])
def test_raw_images_of_any_size_go_in(family, exported):
    made = exported(family, "w8a8", raw_images=True)
    opened = open_exported(made.path)
    for size in [(32, 32), (40, 36), (300, 200), (33, 64)]:
        image = picture(*size)
        with torch.inference_mode():
            expected = made.model.module(made.model.transform()(image)[None])
            one = opened.module(opened.transform()(image)[None])
            two = opened.module(torch.cat([raw(image), raw(image.rotate(180))]))
        assert (one - expected).square().mean().sqrt() < 0.05 * expected.std()
        assert torch.allclose(two[:1], one, atol=1e-5)
        assert not torch.allclose(two[1:], one, atol=1e-2)
