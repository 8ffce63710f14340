"""Scale search: never worse than the plain range, and sound on degenerate tensors."""

import pytest
import torch

from vitquant.quantization.quantizers.affine import QParams, fake_quantize_forward
from vitquant.quantization.quantizers.grid import activation_grid, signed_grid, weight_grid
from vitquant.quantization.quantizers.mse_search import (
    scale_with_headroom,
    search_per_channel,
    search_per_head,
    search_per_tensor,
    search_prefix,
)
from vitquant.quantization.quantizers.per_channel import codes


def min_max(x, grid):
    low, high = min(x.min().item(), 0.0), max(x.max().item(), 0.0)
    scale = (high - low) / (grid.levels - 1)
    return QParams(grid, torch.tensor(scale), torch.tensor(round(-low / scale) * 1.0))


def heavy_tailed(*shape):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    return x.pow(3)


def weight_error(weight, scale, grid):
    return (codes(weight, scale, grid) * scale[:, None] - weight).square().sum(1)


@pytest.mark.parametrize("bits", [1.58, 2, 3, 4, 8])
def test_weights_have_less_error_than_at_the_whole_range(bits):
    weight, grid = heavy_tailed(6, 200), weight_grid(bits)
    whole = weight.abs().amax(1) / grid.qmax
    found = search_per_channel(weight, grid)
    assert found.shape == (6,)
    assert (weight_error(weight, found, grid) <= weight_error(weight, whole, grid)).all()
    if bits <= 4:
        assert weight_error(weight, found, grid).sum() < weight_error(weight, whole, grid).sum()


def test_each_channel_is_searched_alone():
    weight, grid = heavy_tailed(5, 50), weight_grid(4)
    alone = torch.cat([search_per_channel(weight[i : i + 1], grid) for i in range(5)])
    torch.testing.assert_close(search_per_channel(weight, grid), alone, rtol=0, atol=0)


def test_ternary_weights_use_all_three_values():
    weight, grid = heavy_tailed(4, 300), weight_grid(1.58)
    found = codes(weight, search_per_channel(weight, grid), grid)
    assert all(set(row.unique().tolist()) == {-1.0, 0.0, 1.0} for row in found)


def test_channels_of_zeros_get_a_usable_scale():
    weight = torch.zeros(3, 8)
    weight[1] = torch.linspace(-1, 1, 8)
    scale = search_per_channel(weight, weight_grid(4))
    assert (scale > 0).all()
    assert scale.isfinite().all()
    assert torch.equal(codes(weight, scale, weight_grid(4))[0], torch.zeros(8))


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
def test_activations_have_less_error_than_at_the_whole_range(bits):
    x, grid = heavy_tailed(64, 50) + 0.5, activation_grid(bits)
    found = QParams(grid, *search_per_tensor(x, grid))
    plain = min_max(x, grid)

    def error(q):
        return (fake_quantize_forward(x, q) - x).square().mean()

    # At 8 bits the range is right already; the zero points may differ by rounding.
    assert error(found) < error(plain) * (0.9 if bits <= 4 else 1.02)


def test_the_error_is_measured_after_the_operation():
    x = torch.randn(100, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 50.0])
    grid = activation_grid(4)
    scale, _ = search_per_tensor(x, grid)
    only_first, _ = search_per_tensor(x, grid, lambda d: d * torch.tensor([1.0, 0.0]))
    assert only_first < scale / 5


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_value_never_negative_gets_the_lowest_zero_point(bits):
    grid = activation_grid(bits)
    _, zero_point = search_per_tensor(heavy_tailed(50, 20).abs(), grid)
    assert zero_point == grid.qmin


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_value_never_positive_gets_the_highest_zero_point(bits):
    grid = activation_grid(bits)
    _, zero_point = search_per_tensor(-heavy_tailed(50, 20).abs(), grid)
    assert zero_point == grid.qmax


@pytest.mark.parametrize("value", [0.0, 3.7, -3.7, 1e-12, 1e6])
def test_constants_are_kept(value):
    x, grid = torch.full((4, 5), value), activation_grid(4)
    scale, zero_point = search_per_tensor(x, grid)
    assert scale > 0
    assert grid.qmin <= zero_point <= grid.qmax
    assert zero_point == zero_point.round()
    read = fake_quantize_forward(x, QParams(grid, scale, zero_point))
    torch.testing.assert_close(read, x, rtol=1e-5, atol=1e-7)


def test_the_zero_point_is_an_integer_on_the_grid():
    for shift in (-3.0, -0.3, 0.0, 0.3, 3.0):
        grid = activation_grid(3)
        _, zero_point = search_per_tensor(heavy_tailed(40, 10) + shift, grid)
        assert zero_point == zero_point.round()
        assert grid.qmin <= zero_point <= grid.qmax


@pytest.fixture
def heads():
    """(2, 3, 8, 20): attention weights that are even in one head, sharp in another."""
    logits = torch.randn(2, 3, 8, 20, generator=torch.Generator().manual_seed(0))
    return (logits * torch.tensor([0.1, 1.0, 5.0]).view(3, 1, 1)).softmax(-1)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_heads_of_their_own_scales_have_less_error_than_with_one(bits, heads):
    grid, values = activation_grid(bits), heavy_tailed(2, 3, 20, 5)

    def error(scale, zero_point=0.0):
        found = QParams(grid, scale, torch.tensor(float(zero_point)))
        return ((fake_quantize_forward(heads, found) - heads) @ values).square().mean((0, 2, 3))

    own = search_per_head(heads, grid, lambda d: d @ values)
    assert own.shape == (3, 1, 1)
    one = error(*search_per_tensor(heads, grid, lambda d: d @ values))
    assert (error(own) <= one * 1.001).all()
    assert error(own).sum() < 0.9 * one.sum()


def test_each_head_is_searched_alone(heads):
    grid = activation_grid(4)
    alone = [search_per_head(heads[:, i : i + 1], grid) for i in range(3)]
    torch.testing.assert_close(search_per_head(heads, grid), torch.cat(alone), rtol=0, atol=0)


def test_a_head_of_zeros_gets_a_usable_scale(heads):
    heads[:, 1] = 0
    scale = search_per_head(heads, activation_grid(4))
    assert (scale > 0).all()
    assert scale.isfinite().all()


@pytest.mark.parametrize("sign", [-1, 1])
def test_16_bits_reach_beyond_the_sample(sign):
    grid, x = signed_grid(16), heavy_tailed(20, 50)
    x[3, 4] = sign * 100.0
    q = QParams(grid, scale_with_headroom(x, grid), torch.tensor(0.0))
    further = torch.tensor([-190.0, 190.0])
    torch.testing.assert_close(fake_quantize_forward(further, q), further, rtol=0, atol=0.004)
    assert scale_with_headroom(torch.zeros(3), grid) > 0


@pytest.mark.parametrize("heads", [(), (3,)])
def test_rows_at_the_front_are_searched_one_by_one(heads):
    grid = activation_grid(4)
    widths = torch.tensor([0.05, 1.0, 2.0]).view(3, 1)
    x = torch.randn(8, *heads, 3, 20, generator=torch.Generator().manual_seed(0)) * widths
    values = heavy_tailed(20, 5)
    q = QParams(grid, torch.full((*heads, 1, 1) if heads else (), 0.3), torch.tensor(8.0))

    def error(scale):
        difference = (fake_quantize_forward(x, q._replace(scale=scale)) - x) @ values
        return difference.square().mean(-1, keepdim=True).sum_to_size((*heads, 3, 1))

    found = search_prefix(x, q, lambda d: d @ values)
    assert found.shape == (*heads, 3, 1)
    assert (error(found) <= error(q.scale)).all()
    assert (error(found)[..., 0, 0] < 0.05 * error(q.scale)[..., 0, 0]).all()
    for i in range(3):
        alone = search_prefix(x[..., i : i + 1, :], q, lambda d: d @ values)
        torch.testing.assert_close(found[..., i : i + 1, :], alone, rtol=0, atol=0)
