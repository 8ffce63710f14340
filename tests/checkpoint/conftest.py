"""Quantized miniatures, and their files."""

import shutil
from pathlib import Path

import pytest
import torch

import vitquant
from vitquant.data.image_source import ListSource
from vitquant.data.sources.digits import digits
from vitquant.workflows.open import open_model
from vitquant.workflows.ptq import Quantized, quantize


@pytest.fixture(scope="session")
def pictures():
    """The first digits of the test part."""
    return ListSource("digits", [image for image, _ in digits("test")[:32]])


@pytest.fixture
def quantized(settings, pictures):
    """quantized(name, bits, method, **settings) → a quantized miniature."""

    def run(name="vit_digits", bits="w4a4", method="rtn", **changes) -> Quantized:
        return quantize(open_model(name), pictures, settings(bits, method, **changes))

    return run


@pytest.fixture(scope="session")
def _first(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("saved") / "vit.safetensors"


@pytest.fixture
def saved(quantized, _first, tmp_path) -> Path:
    """The file of a quantized `vit_digits`; each test may spoil its own."""
    if not _first.exists():
        quantized().save(_first)
    return Path(shutil.copy(_first, tmp_path))


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Folder of checkpoints of small models, by family; "other" is a vit with another output."""
    return tmp_path_factory.mktemp("loaded")


@pytest.fixture
def load(files, make_small, images, settings):
    """load(name) → a model from a checkpoint, as ``vitquant.load`` returns it."""

    def make(name):
        if not (files / name).exists():
            family, bits = ("vit", "w3a4") if name == "other" else (name, "w4a4")
            quantize(make_small(family), images, settings(bits)).save(files / name)
        return vitquant.load(files / name)

    return make


@pytest.fixture
def x():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
