"""Rounding in which weights make up for each other."""

import torch

from vitquant.quantization.quantizers import per_channel
from vitquant.quantization.quantizers.gptq import gptq_round
from vitquant.quantization.quantizers.grid import weight_grid
from vitquant.quantization.quantizers.mse_search import search_per_channel


def example(channels=70):
    """A weight, and moments of inputs whose channels have much in common."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(12, channels, generator=generator)
    mix = torch.randn(channels, 10, generator=generator).double()
    return weight, mix @ mix.T + 0.1 * torch.eye(channels).double()


def test_the_error_of_the_output_is_smaller():
    weight, moments = example()
    grid = weight_grid(3)
    scale = search_per_channel(weight, grid)

    def error(codes):
        off = (codes * scale[:, None] - weight).double()
        return float(((off @ moments) * off).sum())

    nearest = per_channel.codes(weight, scale, grid)
    found = gptq_round(weight, scale, grid, moments)
    assert error(found) < 0.3 * error(nearest)
    assert torch.equal(found, found.round())
    assert found.min() >= grid.qmin
    assert found.max() <= grid.qmax


def test_independent_inputs_are_rounded_to_nearest():
    weight, _ = example()
    grid = weight_grid(4)
    scale = search_per_channel(weight, grid)
    moments = torch.rand(70).add(0.5).diag().double()
    found = gptq_round(weight, scale, grid, moments)
    assert torch.equal(found, per_channel.codes(weight, scale, grid))


def test_the_weight_is_left_alone():
    weight, moments = example()
    before = weight.clone()
    gptq_round(weight, search_per_channel(weight, weight_grid(3)), weight_grid(3), moments)
    assert torch.equal(weight, before)
