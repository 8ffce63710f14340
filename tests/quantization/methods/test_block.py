"""Block-wise reconstruction from a float model to a file."""

import pytest
import torch

from vitquant.checkpoint.read import read_checkpoint, restore
from vitquant.workflows.ptq import quantize


@pytest.mark.parametrize("family", ["vit", "swin", "eva02_base", "siglip"], indirect=True)
def test_the_file_gives_back_the_model(small, images, batch, settings, tmp_path):
    quantized = quantize(small, images, settings("w4a4", "block"))
    quantized.save(tmp_path / "model.safetensors")
    restored = restore(read_checkpoint(tmp_path / "model.safetensors"))
    with torch.inference_mode():
        assert torch.equal(restored.module(batch), quantized.model.module(batch))


def test_it_comes_closer_to_float_than_rtn(make_small, images, batch, settings):
    model = make_small("vit")
    errors = {}
    with torch.no_grad():
        target = model.module(batch)
    trained = {"steps": 40, "batch_size": 4, "lr_weights": 1e-3}
    for method, changes in (("block", trained), ("rtn", {})):
        quantized = quantize(model, images, settings("w3a3", method, **changes))
        with torch.inference_mode():
            errors[method] = (quantized.model.module(batch) - target).square().mean().item()
    assert errors["block"] < errors["rtn"]


def test_the_same_seed_gives_the_same_file(make_small, images, settings, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run = quantize(make_small("swin"), images, settings("w4a4", "block", seed=seed))
        run.save(tmp_path / name)
    first, again, other = ((tmp_path / name).read_bytes() for name in "abc")
    assert first == again
    assert first != other
