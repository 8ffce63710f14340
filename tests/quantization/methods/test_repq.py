"""RepQ-ViT from a float model to a file."""

import pytest
import torch

from vitquant.checkpoint.read import read_checkpoint, restore
from vitquant.config.quantize import QuantizeSettings
from vitquant.data.loader import load_batches
from vitquant.data.open import Role, open_source
from vitquant.workflows.open import open_model
from vitquant.workflows.ptq import quantize


@pytest.mark.parametrize("family", ["vit", "swin", "eva02_base", "eva02"], indirect=True)
def test_the_file_gives_back_the_model(small, images, batch, settings, tmp_path):
    quantized = quantize(small, images, settings("w4a4", "repq"))
    quantized.save(tmp_path / "model.safetensors")
    restored = restore(read_checkpoint(tmp_path / "model.safetensors"))
    with torch.inference_mode():
        assert torch.equal(restored.module(batch), quantized.model.module(batch))


def test_eight_bits_stay_close_to_float_whatever_the_channels(
    small, images, batch, settings, spoil
):
    model = spoil(small)
    quantized = quantize(model, images, settings("w8a8", "repq", init_images=4))
    with torch.inference_mode():
        noise = quantized.model.module(batch) - model.module(batch)
        assert noise.square().mean().sqrt() < 0.2 * model.module(batch).std()


def test_the_records_tell_where_the_factors_went(make_small, images, settings):
    records = quantize(make_small("vit"), images, settings("w4a4", "repq")).header.layers
    assert {r.name: r.rescaling for r in records if r.rescaling != "none"} == {
        "blocks.0.attn.qkv": "folded into blocks.0.norm1",
        "blocks.0.mlp.fc1": "folded into blocks.0.norm2",
        "blocks.1.attn.qkv": "folded into blocks.1.norm1",
        "blocks.1.mlp.fc1": "folded into blocks.1.norm2",
        "head": "folded into norm",
    }
    assert all(r.sqnr_db > 8 for r in records)


def test_where_activations_stay_float_nothing_is_made_alike(make_small, images, batch, settings):
    found = []
    for method in ("repq", "rtn"):
        quantized = quantize(make_small("vit"), images, settings("w4a16", method))
        with torch.inference_mode():
            found.append(quantized.model.module(batch))
    assert torch.equal(*found)


@pytest.mark.slow
def test_four_bits_on_digits_lose_less_than_rounding_alone():
    model = open_model("vit_digits")
    train, test = (
        open_source("digits", flag="", role=role, label_space=model.label_space)
        for role in (Role.CALIBRATION, Role.EVALUATION)
    )
    batch = next(load_batches(test, range(200), model.transform(), 200))[0]
    errors = {}
    with torch.inference_mode():
        wanted = model.module(batch)
        for method in ("repq", "rtn"):
            chosen = QuantizeSettings.build(bits="w4a4", method=method, prefix_scales=False)
            quantized = quantize(model, train, chosen)
            errors[method] = (quantized.model.module(batch) - wanted).square().mean().item()
    assert errors["repq"] < 0.9 * errors["rtn"]
