"""Fake quantization of weights against LSQ in ordinary operations."""

import math

import pytest
import torch

from vitquant.quantization.quantizers.grid import weight_grid
from vitquant.quantization.quantizers.per_channel import codes, fake_quantize, view_per_channel


@pytest.fixture
def lsq(round_and_clip):
    """LSQ as published: the gradient of the scale is divided by sqrt(n * qmax), n per scale."""

    def fake_quantize(weight, scale, grid):
        factor = 1 / math.sqrt(weight[0].numel() * grid.qmax)
        damped = view_per_channel(scale.detach() + factor * (scale - scale.detach()), weight)
        return round_and_clip(weight / damped, 0, grid.qmin, grid.qmax) * damped

    return fake_quantize


@pytest.mark.parametrize("shape", [(5, 12), (5, 3, 2, 2), (1, 7)])
@pytest.mark.parametrize("bits", [1.58, 2, 3, 4, 8])
def test_values_and_gradients_are_those_of_lsq(shape, bits, lsq, randn, gradients):
    grid = weight_grid(bits)
    weight = randn(*shape).requires_grad_()
    scale = (1.3 / grid.qmax * torch.linspace(0.7, 1.3, shape[0], dtype=torch.float64)).detach()
    scale.requires_grad_()
    ours, expected = fake_quantize(weight, scale, grid), lsq(weight, scale, grid)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)
    for got, wanted in zip(
        gradients(ours, weight, scale), gradients(expected, weight, scale), strict=True
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-11)


def test_the_scale_gradient_by_hand():
    grid = weight_grid(2)  # -2 to 1
    weight = torch.tensor([[0.6, -1.2, 5.0]])
    scale = torch.tensor([1.0], requires_grad=True)
    fake_quantize(weight, scale, grid).sum().backward()
    # Rounding errors where inside, the last integer where clipped: (1 - 0.6) + (-1 + 1.2) + 1.
    assert scale.grad.item() == pytest.approx(1.6 / math.sqrt(3 * 1))


@pytest.mark.parametrize("bits", [1.58, 2, 3, 4, 5, 6, 7, 8])
def test_codes_stay_on_the_grid(bits, randn):
    grid = weight_grid(bits)
    found = codes(randn(4, 200) * 100, torch.full((4,), 0.5, dtype=torch.float64), grid)
    assert (found.min(), found.max()) == (grid.qmin, grid.qmax)
    torch.testing.assert_close(found, found.round(), rtol=0, atol=0)
