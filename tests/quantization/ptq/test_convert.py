"""Rounding and folding for good: what was computed before is computed after."""

import copy

import pytest
import torch
from torch import nn

from vitquant.quantization.graph.observe import observe
from vitquant.quantization.graph.points import find_points
from vitquant.quantization.layers.base import ChannelRescale
from vitquant.quantization.layers.interception import intercepted
from vitquant.quantization.ptq.bit_assignment import layer_bits
from vitquant.quantization.ptq.calibrate import calibrate
from vitquant.quantization.ptq.convert import convert
from vitquant.quantization.ptq.prepare import add_rescaling, prepare
from vitquant.quantization.transforms.folding import find_folds
from vitquant.quantization.transforms.rescaling import initialize


def learned_model(model, batch, assignment, spread):
    """A model with student quantizers, whose rescaling is exp of noise, calibrated on ``batch``."""
    points = find_points(model.module, batch, model.tokens)
    samples = observe(model.module, batch, points, seed=0)
    bits = layer_bits(assignment, model.classifier_names, points)
    student = prepare(model.module, points, bits, assignment.bits)
    rescalings = add_rescaling(student, find_folds(model.module, batch[:1], points))
    generator = torch.Generator().manual_seed(3)
    for rescale, _ in rescalings:
        rescale.log.data.copy_(spread * torch.randn(rescale.log.shape, generator=generator))
    calibrate(student, samples)
    return student, rescalings, samples


def relative(x, reference):
    return float((x - reference).square().mean().sqrt() / reference.std())


@torch.no_grad()
@pytest.mark.parametrize(("bits", "flip"), [("w8a8", 5e-3), ("w4a4", 0.1)])
def test_what_was_trained_is_what_is_stored(bits, flip, small, batch, settings, monkeypatch):
    monkeypatch.setattr(
        "vitquant.quantization.ptq.convert.round_float_remainder", lambda module: None
    )
    student, _, _ = learned_model(small, batch, settings(bits).scheme, spread=0.5)
    before = student(batch)
    convert(student, small.module)
    # A value half-way between two integers may fall to the other side, and one level of few is
    # much; a rescaling folded wrongly costs several times as much.
    assert relative(student(batch), before) < flip
    assert not any(isinstance(module, ChannelRescale) for module in student.modules())


@torch.no_grad()
def test_float16_takes_little_away(small, batch, settings):
    student, _, _ = learned_model(small, batch, settings("w8a8").scheme, spread=0.5)
    before = student(batch)
    convert(student, small.module)
    assert relative(student(batch), before) < 0.06


@torch.no_grad()
def test_rescaling_hardly_matters_at_eight_bits(small, batch, settings):
    outputs = []
    for spread in (0.0, 0.5):
        student, _, _ = learned_model(small, batch, settings("w8a8").scheme, spread)
        convert(student, small.module)
        outputs.append(student(batch))
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
    student, rescalings, samples = learned_model(small, batch, settings("w8a8").scheme, 0.0)
    initialize(rescalings, student, samples)
    calibrate(student, samples)
    assert all(rescale.log.isfinite().all() for rescale, _ in rescalings)
    convert(student, small.module)
    assert all(tensor.isfinite().all() for tensor in student.state_dict().values())
    assert relative(student(batch), small.module(batch)) < 0.05


@torch.no_grad()
def test_each_record_tells_where_the_rescaling_went(make_small, batch, settings):
    model = make_small("vit")
    student, _, _ = learned_model(model, batch, settings("w4a4").scheme, 0.1)
    records = {r.name: r for r in convert(student, model.module)}
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
    student, _, _ = learned_model(model, batch, settings("w4a4").scheme, 0.5)
    convert(student, model.module)
    assert all(torch.equal(state[name], now) for name, now in model.module.state_dict().items())
    assert not list(intercepted(model.module))
