"""Rounding and folding for good: what was computed before is computed after."""

import copy

import pytest
import torch
from torch import nn

from vitquant.layers.interception import intercepted
from vitquant.layers.rescale import Rescale
from vitquant.methods.assemble import add_rescaling, assemble, calibrate
from vitquant.methods.finish import finish
from vitquant.methods.rescaling import initialise
from vitquant.methods.samples import collect
from vitquant.models.folding import find_folds
from vitquant.models.wiring import discover


def learned_model(model, batch, scheme, spread):
    """A model with learned quantizers, whose rescaling is exp of noise, calibrated on ``batch``."""
    wiring = discover(model.module, batch)
    samples = collect(model.module, batch, wiring, seed=0)
    bits = scheme.layer_bits(model.module, wiring)
    learned = assemble(model.module, wiring, bits, scheme.bits)
    rescalings = add_rescaling(learned, find_folds(model.module, batch[:1], wiring))
    generator = torch.Generator().manual_seed(3)
    for rescale, _ in rescalings:
        rescale.log.data.copy_(spread * torch.randn(rescale.log.shape, generator=generator))
    calibrate(learned, samples)
    return learned, rescalings, samples


def relative(x, reference):
    return float((x - reference).square().mean().sqrt() / reference.std())


@torch.no_grad()
@pytest.mark.parametrize(("bits", "flip"), [("w8a8", 5e-3), ("w4a4", 0.1)])
def test_what_was_trained_is_what_is_stored(bits, flip, small, batch, settings, monkeypatch):
    monkeypatch.setattr("vitquant.methods.finish.round_float_remainder", lambda module: None)
    learned, _, _ = learned_model(small, batch, settings(bits).scheme, spread=0.5)
    before = learned(batch)
    finish(learned, small.module)
    # A value half-way between two integers may fall to the other side, and one level of few is
    # much; a rescaling folded wrongly costs several times as much.
    assert relative(learned(batch), before) < flip
    assert not any(isinstance(module, Rescale) for module in learned.modules())


@torch.no_grad()
def test_float16_takes_little_away(small, batch, settings):
    learned, _, _ = learned_model(small, batch, settings("w8a8").scheme, spread=0.5)
    before = learned(batch)
    finish(learned, small.module)
    assert relative(learned(batch), before) < 0.06


@torch.no_grad()
def test_rescaling_hardly_matters_at_eight_bits(small, batch, settings):
    outputs = []
    for spread in (0.0, 0.5):
        learned, _, _ = learned_model(small, batch, settings("w8a8").scheme, spread)
        finish(learned, small.module)
        outputs.append(learned(batch))
    assert relative(outputs[0], small.module(batch)) < 0.03
    assert relative(outputs[1], outputs[0]) < 0.08


@torch.no_grad()
@pytest.mark.parametrize("family", ["vit", "distilled", "swin", "eva02_base"], indirect=True)
def test_channels_of_zeros_and_constants_survive(small, batch, settings):
    for name, module in small.module.named_modules():
        if isinstance(module, nn.LayerNorm):
            module.weight[:6] = 0
            module.bias[:3] = 0
        if name.endswith(("attn.qkv", "v_proj")):
            module.weight[-4:] = 0
            if module.bias is not None:
                module.bias[-2:] = 0
    learned, rescalings, samples = learned_model(small, batch, settings("w8a8").scheme, 0.0)
    initialise(rescalings, learned, samples)
    calibrate(learned, samples)
    assert all(rescale.log.isfinite().all() for rescale, _ in rescalings)
    finish(learned, small.module)
    assert all(tensor.isfinite().all() for tensor in learned.state_dict().values())
    assert relative(learned(batch), small.module(batch)) < 0.05


@torch.no_grad()
def test_each_record_tells_where_the_rescaling_went(make_small, batch, settings):
    model = make_small("vit")
    learned, _, _ = learned_model(model, batch, settings("w4a4").scheme, 0.1)
    records = {r.name: r for r in finish(learned, model.module)}
    assert {name: r.rescaling for name, r in records.items() if "blocks.1" not in name} == {
        "patch_embed.proj": "none",
        "blocks.0.attn.qkv": "folded into blocks.0.norm1",
        "blocks.0.attn.proj": "folded into blocks.0.attn.qkv",
        "blocks.0.mlp.fc1": "folded into blocks.0.norm2",
        "blocks.0.mlp.fc2": "stored",
        "head": "folded into norm",
    }
    assert records["patch_embed.proj"].sqnr_db > 30
    assert 10 < records["head"].sqnr_db < 25


@torch.no_grad()
def test_the_reference_is_left_alone(make_small, batch, settings):
    model = make_small("swin")
    state = copy.deepcopy(model.module.state_dict())
    learned, _, _ = learned_model(model, batch, settings("w4a4").scheme, 0.5)
    finish(learned, model.module)
    assert all(torch.equal(state[name], now) for name, now in model.module.state_dict().items())
    assert not list(intercepted(model.module))
