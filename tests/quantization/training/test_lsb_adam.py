"""The rate of quantized layers' weights is in levels of their grids."""

import pytest
import torch

from vitquant.quantization.layers.base import FakeQuantLayer
from vitquant.quantization.ptq.calibrate import calibrate_with_rescaling
from vitquant.quantization.training.optimizer import build_optimizer


@pytest.mark.parametrize("family", ["vit", "swin"])
def test_the_first_step_is_as_many_levels_for_every_weight(
    family, make_small, settings, make_context
):
    context = make_context(
        make_small(family), settings("w4a4", "joint", lr_weights=0.25, lr_head=0.25, lr_norms=0.5)
    )
    student = calibrate_with_rescaling(context)
    before = {name: p.detach().clone() for name, p in student.named_parameters()}
    layers = {n: m for n, m in student.named_modules() if isinstance(m, FakeQuantLayer)}
    levels = {name: layer.lsb() for name, layer in layers.items()}
    widths = torch.cat([level.flatten() for level in levels.values()])
    assert widths.max() > 2 * widths.min()

    # Adam's first step is its rate in the direction of the gradient.
    optimizer = build_optimizer(student, context.settings)
    for parameter in student.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    moved = {name: before[name] - p.detach() for name, p in student.named_parameters()}

    for name, level in levels.items():
        wanted = 0.25 * level.expand_as(before[f"{name}.weight"])
        torch.testing.assert_close(moved.pop(f"{name}.weight"), wanted, rtol=1e-3, atol=1e-6)
        if layers[name].bias is not None:
            wanted = 0.25 * before[f"{name}.log_scale"].exp()
            torch.testing.assert_close(moved.pop(f"{name}.bias"), wanted, rtol=1e-3, atol=1e-6)
    norms = [x for name, x in moved.items() if "norm" in name]
    assert norms
    assert all(torch.allclose(x, torch.tensor(0.5)) for x in norms)


def test_a_level_is_the_scale_over_the_rescaling(make_small, settings, make_context):
    student = calibrate_with_rescaling(make_context(make_small("vit"), settings("w4a4", "joint")))
    layer = student.get_submodule("blocks.0.mlp.fc2")
    with torch.no_grad():
        layer.rescale.log.copy_(torch.linspace(-1, 1, layer.in_features))
        integers = layer.convert().codes.float()
        layer.weight.add_(layer.lsb())
    grown = layer.convert().codes - integers
    inside = (integers > -8) & (integers < 7)
    assert inside.any()
    assert bool((grown[inside] == 1).all())


def test_frozen_weights_stay_bit_for_bit(make_small, settings, make_context):
    context = make_context(make_small("vit"), settings("w4a4", "joint", lr_weights=0.0))
    student = calibrate_with_rescaling(context)
    layer = student.get_submodule("blocks.0.attn.qkv")
    before = layer.weight.detach().clone(), layer.bias.detach().clone()
    optimizer = build_optimizer(student, context.settings)
    for parameter in student.parameters():
        parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
    optimizer.step()
    assert torch.equal(layer.weight, before[0])
    assert torch.equal(layer.bias, before[1])
