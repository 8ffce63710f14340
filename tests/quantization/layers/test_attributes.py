"""What code around a layer reads of it."""

import pytest
import torch
from torch import nn

from vitquant.quantization.layers.conv import FakeQuantConv2d
from vitquant.quantization.layers.linear import FakeQuantLinear, IntLinear
from vitquant.quantization.quantizers.grid import activation_grid, weight_grid


@pytest.mark.parametrize("stored", [False, True])
def test_a_layer_has_the_attributes_of_the_float_one(stored):
    conv = nn.Conv2d(4, 6, (3, 5), stride=2, padding=(1, 2), dilation=(2, 1), groups=2)
    plain = {"conv": conv, "linear": nn.Linear(6, 5)}
    layers = {
        "conv": FakeQuantConv2d(conv, weight_grid(8), activation_grid(8)),
        "linear": FakeQuantLinear(plain["linear"], weight_grid(8), activation_grid(8)),
    }
    for name, layer in layers.items():
        layer.calibrate(torch.rand(20, 6) if name == "linear" else torch.rand(2, 4, 9, 9))
        found = layer.convert() if stored else layer
        for attribute in plain[name].__constants__:
            assert getattr(found, attribute) == getattr(plain[name], attribute), attribute
        assert torch.equal(found.bias, plain[name].bias)
        torch.testing.assert_close(found.weight, plain[name].weight, rtol=0, atol=0.01)


@torch.no_grad()
def test_the_stored_weight_is_that_of_the_integers():
    stored = IntLinear((5, 6), bias=True, weight=weight_grid(8), activation=activation_grid(8))
    stored.codes.fill_(3)
    stored.scale.copy_(torch.arange(5.0))
    assert torch.equal(stored.weight, 3 * torch.arange(5.0)[:, None].expand(5, 6))
    with pytest.raises(AttributeError):
        stored.weight = torch.zeros(5, 6)
