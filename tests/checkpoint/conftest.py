"""Quantized miniatures, and their files."""

import shutil
from pathlib import Path

import pytest

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
