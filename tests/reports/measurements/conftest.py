"""Small quantized models beside their float models."""

import copy

import pytest

from vitquant.checkpoint.read import read_checkpoint
from vitquant.data.image_source import ListSource
from vitquant.data.sources.digits import digits
from vitquant.reports.measurements.subject import make_subject
from vitquant.workflows.open import open_model
from vitquant.workflows.ptq import quantize


@pytest.fixture
def subject_of(tmp_path, images, settings):
    """subject_of(float model, …) → a subject; settings as of ``settings``."""

    def make(model, source=None, with_reference=True, **changes):
        quantized = quantize(model, source or images, settings(**changes))
        path = tmp_path / "small.safetensors"
        quantized.save(path)
        reference = copy.deepcopy(model) if with_reference else None
        return make_subject(read_checkpoint(path), quantized.model, reference)

    return make


@pytest.fixture(scope="session")
def some_digits():
    """Forty of the test part, with their labels."""
    pairs = digits("test")[:40]
    return ListSource("digits", [image for image, _ in pairs], [label for _, label in pairs])


@pytest.fixture
def digits_subject(subject_of, some_digits):
    """digits_subject(bits, …) → vit_digits beside its float model."""

    def make(bits="w8a8", **changes):
        changes = {"samples": 16, "init_images": 16} | changes
        return subject_of(open_model("vit_digits"), some_digits, bits=bits, **changes)

    return make
