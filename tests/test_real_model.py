"""DeiT-Tiny on photographs of ImageNet, where a copy of both lies beside the project."""

from pathlib import Path

import pytest
import torch

from vitquant.checkpoint.read import read_checkpoint, restore
from vitquant.config.quantize import QuantizeSettings
from vitquant.data.loader import load_batches
from vitquant.data.open import Role, open_source
from vitquant.workflows.open import open_model
from vitquant.workflows.ptq import quantize

DATA = Path(__file__).parents[2] / "shared" / "data"
WEIGHTS = DATA / "deit_tiny_patch16_224.safetensors"

pytestmark = pytest.mark.skipif(
    not (WEIGHTS.is_file() and (DATA / "imagenet").is_dir()),
    reason="no DeiT-Tiny weights and ImageNet images beside the project",
)


@pytest.fixture(scope="module")
def deit():
    return open_model("deit_tiny", WEIGHTS)


@pytest.fixture(scope="module")
def calibration(deit):
    return _images("calib", deit, Role.CALIBRATION)


@pytest.fixture(scope="module")
def validation(deit):
    """96 images (96, 3, 224, 224), spread over the set, and their labels."""
    source = _images("val", deit, Role.EVALUATION)
    indices = [i * len(source) // 96 for i in range(96)]
    return next(load_batches(source, indices, deit.transform(), 96))


def _images(part, model, role):
    return open_source(
        str(DATA / "imagenet" / part),
        flag="--data",
        label_space=model.label_space,
        role=role,
    )


def _quantized(deit, calibration, bits, init_images=32):
    settings = QuantizeSettings.build(
        bits=bits, method="rtn", samples=32, init_images=init_images, patch_embed_bits="w8a8"
    )
    return quantize(deit, calibration, settings)


@torch.inference_mode()
def _guesses(model, images):
    return torch.cat([model.module(part).argmax(-1) for part in images.split(32)])


def test_float_weights_know_the_photographs(deit, validation):
    images, labels = validation
    assert (_guesses(deit, images) == labels).float().mean() > 0.6


@pytest.mark.slow
def test_eight_bits_agree_with_float(deit, calibration, validation, tmp_path):
    run = _quantized(deit, calibration, "w8a8")
    images, _ = validation
    found = _guesses(run.model, images)
    assert (found == _guesses(deit, images)).float().mean() >= 0.9
    run.save(tmp_path / "deit.safetensors")
    restored = restore(read_checkpoint(tmp_path / "deit.safetensors"))
    with torch.inference_mode():
        assert torch.equal(restored.module(images[:8]), run.model.module(images[:8]))


@pytest.mark.slow
@pytest.mark.parametrize(("bits", "megabytes"), [("w4a4", 3.4), ("w3a3", 2.8), ("w1.58a8", 1.9)])
def test_the_file_is_small(bits, megabytes, deit, calibration, tmp_path):
    run = _quantized(deit, calibration, bits, init_images=2)
    assert run.save(tmp_path / "deit.safetensors") <= megabytes * 1e6
    assert deit.identity.float_bytes > 22e6
