"""Points are quantized, and set back, one by one."""

import pytest
import torch

from vitquant.config.bits import Bits
from vitquant.quantization.bit_allocation.switchable import SwitchableModel
from vitquant.quantization.methods.rtn import rtn

W4A4, W2A8, W8A16 = Bits(4, 4), Bits(2, 8), Bits(8, 16)


@pytest.fixture
def context(small, make_context, settings):
    return make_context(small, settings(patch_embed_bits="w4a4"))


@pytest.fixture
def model(context):
    return SwitchableModel(context, [W4A4, W2A8, W8A16])


@torch.no_grad()
def test_all_float_is_the_float_model(model, context, batch):
    torch.testing.assert_close(
        model.module(batch), context.float_model(batch), rtol=1e-5, atol=1e-5
    )
    assert model.bits == {}


@torch.no_grad()
def test_all_quantized_is_what_rtn_makes(model, context, batch):
    model.set(dict.fromkeys(model.names, W4A4))
    torch.testing.assert_close(model.module(batch), rtn(context)(batch), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_each_point_changes_the_output_and_is_set_back(model, batch):
    exact = model.module(batch)
    for name in model.names:
        before = model.set({name: W2A8})
        assert before == {name: None}
        assert model.bits == {name: W2A8}
        assert not torch.equal(model.module(batch), exact), name
        model.set(before)
        torch.testing.assert_close(model.module(batch), exact, rtol=0, atol=0)


@torch.no_grad()
def test_a_point_has_the_scales_of_its_width(model, batch):
    name = model.names[1]
    outputs = []
    for bits in (W4A4, W2A8, W4A4):
        model.set({name: bits})
        outputs.append(model.module(batch))
    assert not torch.equal(outputs[0], outputs[1])
    torch.testing.assert_close(outputs[0], outputs[2], rtol=0, atol=0)


@torch.no_grad()
def test_activations_of_16_bits_stay_float(model, context, batch):
    exact = model.module(batch)
    model.set({point.name: W8A16 for point in context.points.matmuls})
    torch.testing.assert_close(model.module(batch), exact, rtol=0, atol=0)


def test_the_float_model_is_left_alone(model, context, batch):
    before = {n: t.clone() for n, t in context.float_model.state_dict().items()}
    model.set(dict.fromkeys(model.names, W2A8))
    model.module(batch)
    for name, tensor in context.float_model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
