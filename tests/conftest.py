"""One small model of each family, with random weights, and images to calibrate it with."""

import copy
import functools
import os
from typing import Any

import pytest
import timm
import torch
from generators.transformers_families import write_folder
from PIL import Image

from vitquant.config.groups.training import TRAINED
from vitquant.config.naming import OPTIONS
from vitquant.config.quantize import QuantizeSettings
from vitquant.core.progress import Silent
from vitquant.data.image_source import ListSource
from vitquant.data.sources.noise import NoiseSource
from vitquant.models.model import Model, ModelIdentity

# As many tests run side by side as there are cores; what they start takes the same.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)

_PLAIN = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 48, "num_heads": 3}
_WINDOWS = {
    "img_size": 32, "patch_size": 2, "window_size": 4, "depths": (2, 2), "embed_dim": 24,
    "num_heads": (2, 4),
}  # fmt: skip
FAMILIES = {
    "vit": ("vit_tiny_patch16_224", _PLAIN),
    "distilled": ("deit_tiny_distilled_patch16_224", _PLAIN),
    "deit3": ("deit3_small_patch16_224", _PLAIN),
    "swin": ("swin_tiny_patch4_window7_224", _WINDOWS),
    "swinv2": ("swinv2_tiny_window8_256", _WINDOWS),
    "clip": ("vit_base_patch16_clip_224", _PLAIN),
    "siglip": ("vit_base_patch16_siglip_224", _PLAIN | {"num_classes": 0}),
    "dinov2": ("vit_small_patch14_reg4_dinov2", _PLAIN),
    "eva02": ("eva02_tiny_patch14_224", _PLAIN),
    "eva02_base": ("eva02_base_patch14_224", _PLAIN),
    "beit": ("beit_base_patch16_224", _PLAIN),
}


def small_model(family: str) -> Model:
    """A float model of a family: 10 classes, 32 by 32 pixels, weights that are nowhere special.

    Built once a process; torch's random numbers go on as if it had been built now.
    """
    model, random = _built(family)
    torch.set_rng_state(random)
    return copy.deepcopy(model)


@functools.cache
def _built(family: str) -> tuple[Model, torch.Tensor]:
    architecture, arguments = FAMILIES[family]
    arguments = {"num_classes": 10} | arguments
    torch.manual_seed(0)
    module = timm.create_model(architecture, pretrained=False, **arguments).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    model = as_model(module.requires_grad_(False), architecture, arguments)
    return model, torch.get_rng_state()


def as_model(module, architecture="", arguments=None) -> Model:
    identity = ModelIdentity("small", architecture, arguments=arguments or {})
    preprocessing = {
        "input_size": (3, 32, 32), "interpolation": "bicubic", "crop_pct": 1.0,
        "crop_mode": "center", "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5),
    }  # fmt: skip
    return Model(module, identity, preprocessing, None)


@pytest.fixture(params=FAMILIES)
def family(request) -> str:
    """The name of each family in turn."""
    return request.param


@pytest.fixture
def small(family) -> Model:
    """A small float model of ``family``."""
    return small_model(family)


@pytest.fixture
def make_small():
    """make_small(family) → a small float model."""
    return small_model


@pytest.fixture
def wrapped():
    """wrapped(module) → a Model around any module for 32 by 32 pixels."""
    return as_model


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """folders(family) → a folder with a small model of transformers, written once."""
    root = tmp_path_factory.mktemp("transformers")

    def folder(family):
        path = root / family.replace(" ", "-")
        return path if path.exists() else write_folder(family, path)

    return folder


@pytest.fixture
def images() -> ListSource:
    """Four smooth random pictures."""
    source = NoiseSource(4, (5, 5), seed=0)
    noise = [source.image(i) for i in range(4)]
    return ListSource("pictures", [i.resize((40, 36), Image.Resampling.BICUBIC) for i in noise])


@pytest.fixture
def batch(images) -> torch.Tensor:
    """(4, 3, 32, 32): the pictures as a model sees them."""
    transform = as_model(None).transform()
    return torch.stack([transform(images.image(i)) for i in range(4)])


class Listener(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warnings: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def settings():
    """settings(bits, method, ...) → of a run that takes a moment."""

    def make(bits="w4a4", method="rtn", **changes) -> QuantizeSettings:
        brief: dict[str, Any] = {"samples": 4, "init_images": 2, "patch_embed_bits": "w8a8"}
        if method in TRAINED["method"]:
            brief |= {"steps": 2, "batch_size": 2, "stored_rescaling": True}
        given = {"bits": bits, "method": method} | brief | changes
        return QuantizeSettings.build(naming=OPTIONS, **given)

    return make
