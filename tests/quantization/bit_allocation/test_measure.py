"""What is measured is what running the whole network gives."""

import pytest
import torch

from vitquant.config.bits import Bits
from vitquant.quantization.bit_allocation.measure import Measure, first_blocks
from vitquant.quantization.bit_allocation.switchable import SwitchableModel
from vitquant.quantization.training.features import Outputs
from vitquant.quantization.training.losses import logit_loss

W3A4 = Bits(3, 4)


@pytest.fixture
def context(small, make_context, settings):
    return make_context(small, settings())


@torch.no_grad()
def test_one_change_at_a_time(context, batch):
    model = SwitchableModel(context, [W3A4])
    measure = Measure(context, model, images=4)
    assert measure.record().divergence == pytest.approx(0, abs=1e-6)
    found = measure.losses([{name: W3A4} for name in model.names], "measuring")
    classifies = context.model.num_classes > 1
    for name, loss in zip(model.names, found, strict=True):
        model.set({name: W3A4})
        output, expected = model.module(batch), context.float_model(batch)
        divergence = logit_loss(Outputs([], output), Outputs([], expected), classifies)
        model.set({name: None})
        assert loss.divergence == pytest.approx(max(0, float(divergence)), rel=1e-4, abs=1e-7)
        if classifies:
            same = (output.argmax(-1) == expected.argmax(-1)).double().mean()
            assert loss.agreement == float(same)
        else:
            assert loss.agreement is None


@torch.no_grad()
def test_changes_are_of_what_was_recorded(context):
    model = SwitchableModel(context, [W3A4])
    measure = Measure(context, model, images=4)
    model.set(dict.fromkeys(model.names, W3A4))
    whole = measure.record()
    assert measure.now() == whole
    last = model.names[0]
    spared = measure.losses([{last: None}], "measuring")[0]
    model.set({last: None})
    assert measure.now().divergence == pytest.approx(spared.divergence, rel=1e-5)


def test_outputs_that_are_no_numbers_lose_much(context):
    model = SwitchableModel(context, [W3A4])
    measure = Measure(context, model, images=4)
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter.fill_(float("nan"))
    lost = measure.now()
    assert lost.divergence == 1000
    assert not lost.agreement


def test_the_first_block_that_depends_on_a_point(make_small, make_context, settings):
    points = make_context(make_small("vit"), settings()).points
    first = first_blocks(points)
    assert first["patch_embed.proj"] == 0
    assert first["blocks.0.mlp.fc2"] == 0
    assert first["blocks.1.attn.qkv"] == first["blocks.1.attn.products.1"] == 1
    assert first["head"] == 2


def test_a_layer_between_blocks(make_small, make_context, settings):
    """Swin merges patches between its stages."""
    points = make_context(make_small("swin"), settings()).points
    merging = next(p.name for p in points.layers if "downsample" in p.name)
    assert first_blocks(points)[merging] == 2
