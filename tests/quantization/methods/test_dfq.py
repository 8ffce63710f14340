"""The method dfq from a float model to files."""

import pytest
import torch

import vitquant
from vitquant.checkpoint.read import read_checkpoint, restore
from vitquant.workflows.ptq import quantize


@pytest.mark.parametrize("family", ["vit", "swin", "siglip", "dinov2"], indirect=True)
@pytest.mark.parametrize("reparameterise", [False, True])
def test_the_file_gives_back_the_model(small, reparameterise, images, batch, settings, tmp_path):
    chosen = settings("w4a4", "dfq", reparameterize=reparameterise)
    quantized = quantize(small, images, chosen)
    quantized.save(tmp_path / "model.safetensors")
    restored = restore(read_checkpoint(tmp_path / "model.safetensors"))
    with torch.inference_mode():
        assert torch.equal(restored.module(batch), quantized.module(batch))


def test_it_is_nearer_to_float_than_rtn(make_small, images, batch, settings):
    model = make_small("deit3")
    errors = {}
    with torch.inference_mode():
        wanted = model.module(batch)
        for method in ("rtn", "dfq"):
            found = quantize(model, images, settings("w3a8", method, init_images=4)).module(batch)
            errors[method] = (found - wanted).square().mean().item()
    assert errors["dfq"] < 0.3 * errors["rtn"]


def test_where_activations_stay_float_weights_are_corrected_all_the_same(
    make_small, images, batch, settings
):
    model = make_small("vit")
    with torch.inference_mode():
        wanted = model.module(batch)
        errors = [
            (quantize(model, images, settings("w3a16", m)).module(batch) - wanted).square().mean()
            for m in ("rtn", "dfq")
        ]
    assert errors[1] < errors[0]


@pytest.mark.slow
def test_an_exported_model_has_no_more_kernels(make_small, images, settings, tmp_path):
    found = []
    for method in ("rtn", "dfq"):
        quantized = quantize(make_small("vit"), images, settings("w4a4", method))
        # Weights that are random agree on nothing in particular.
        run = vitquant.export(quantized, tmp_path / f"{method}.onnx", min_agreement=0.0, images=2)
        run = run.verification
        assert all(each.in_float == [] for each in run.exported)
        found.append(run.expected)
    assert found[0] == found[1]
