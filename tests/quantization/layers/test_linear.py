"""The quantized Linear, Conv2d and matmul: trained and stored compute alike."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vitquant.quantization.layers.attention import fake_quant_matmul
from vitquant.quantization.layers.base import ChannelRescale, FoldTarget
from vitquant.quantization.layers.conv import FakeQuantConv2d, conv_arguments
from vitquant.quantization.layers.linear import FakeQuantLinear
from vitquant.quantization.quantizers.grid import (
    PrefixFormat,
    activation_grid,
    signed_grid,
    weight_grid,
)


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))


def linear(site=None, activation=8, bias=True):
    layer = FakeQuantLinear(
        nn.Linear(6, 5, bias=bias), weight_grid(8), activation and activation_grid(activation)
    )
    if site is not None:
        layer.rescale = ChannelRescale(6, site)
        layer.rescale.log.data = torch.linspace(-1, 1, 6)
    return layer


@torch.no_grad()
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("site", [None, FoldTarget.NONE])
def test_stored_integers_compute_what_was_trained(site, bias):
    layer, x = linear(site, bias=bias), noise(3, 7, 6)
    layer.calibrate(x.flatten(0, 1))
    torch.testing.assert_close(layer.convert()(x), layer(x))
    exact = F.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(layer(x), exact, rtol=0, atol=0.05)


@torch.no_grad()
def test_weights_alone():
    layer, x = linear(activation=None), noise(3, 6)
    layer.calibrate(x)
    expected = F.linear(x, layer.effective_weight(), layer.bias)
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer.convert()(x), expected)


@torch.no_grad()
def test_an_earlier_linear_divides_for_a_later_one():
    first, second, x = (
        linear(),
        FakeQuantLinear(nn.Linear(3, 4), weight_grid(8), activation_grid(8)),
        noise(20, 6),
    )
    first.calibrate(x)
    exact = second.weight @ F.linear(x, first.effective_weight(), first.bias)[:, 1:4].mT
    rescale = ChannelRescale(3, FoldTarget.LINEAR, "first")
    rescale.log.data = torch.tensor([-0.5, 0.2, 0.5])
    first.consumer, first.consumer_start, second.rescale = rescale, 1, rescale
    middle = first(x)
    second.calibrate(middle[:, 1:4] * rescale.factor())
    torch.testing.assert_close(first.convert()(x), middle)
    found = second(middle[:, 1:4]) - second.bias
    torch.testing.assert_close(found.mT, exact, rtol=0, atol=0.05)
    torch.testing.assert_close(second.convert()(middle[:, 1:4]), second(middle[:, 1:4]))


def test_everything_about_a_layer_can_be_trained():
    layer, x = linear(FoldTarget.NONE), noise(50, 6)
    layer.calibrate(x)
    layer(x).square().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0 or name == "input.zero_point"


@torch.no_grad()
@pytest.mark.parametrize(
    "options", [{}, {"stride": 2, "padding": 1}, {"groups": 3}, {"bias": False}]
)
def test_a_convolution_keeps_its_geometry(options):
    plain = nn.Conv2d(3, 6, 3, **options)
    layer, x = FakeQuantConv2d(plain, weight_grid(8), activation_grid(8)), noise(2, 3, 9, 9)
    layer.calibrate(x)
    torch.testing.assert_close(layer(x), plain(x), rtol=0, atol=0.06)
    torch.testing.assert_close(layer.convert()(x), layer(x))


def test_padding_with_something_other_than_zeros_is_refused():
    with pytest.raises(ValueError, match="reflect"):
        conv_arguments(nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"))


@torch.no_grad()
@pytest.mark.parametrize("shapes", [((2, 3, 4, 5), (2, 3, 5, 6)), ((2, 3, 4, 5), (1, 3, 5, 6))])
def test_a_matmul_broadcasts_like_torch(shapes):
    left, right = (noise(*shape) for shape in shapes)
    product = fake_quant_matmul(activation_grid(8))
    product.left.calibrate(left, lambda d: d)
    product.right.calibrate(right, lambda d: d)
    torch.testing.assert_close(product(left, right), left @ right, rtol=0, atol=0.2)
    assert torch.equal(product.convert()(left, right), product(left, right))


@pytest.fixture
def gelu_rows():
    """(400, 6): what leaves a GELU, in channels of different widths."""
    x = torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
    return F.gelu(x * torch.tensor([0.5, 1.0, 0.7, 0.9, 1.2, 0.4]) - 0.7)


def with_shift(bits, rows):
    layer = FakeQuantLinear(nn.Linear(6, 4), weight_grid(8), activation_grid(bits))
    layer.rescale = ChannelRescale(6, FoldTarget.NONE)
    with torch.no_grad():
        layer.rescale.log.copy_(torch.linspace(-0.3, 0.3, 6))
    layer.add_channel_shift()
    layer.calibrate(rows)
    return layer


@pytest.mark.parametrize("consumed", [False, True])
def test_a_shift_is_stored_as_a_shift(consumed, gelu_rows):
    layer = with_shift(3, gelu_rows)
    with torch.no_grad():
        layer.channel_shift.add_(torch.linspace(-0.4, 0.4, 6))
    if consumed:
        layer.consumer = ChannelRescale(4, FoldTarget.LINEAR)
        with torch.no_grad():
            layer.consumer.log.copy_(torch.linspace(-0.5, 0.5, 4))
    stored = layer.convert()
    assert not torch.equal(stored.shift, torch.zeros(6))
    torch.testing.assert_close(stored(gelu_rows), layer(gelu_rows), rtol=1e-5, atol=1e-5)


def test_a_shift_costs_nothing_where_levels_are_fine(gelu_rows):
    layer = with_shift(8, gelu_rows)
    with torch.no_grad():
        layer.channel_shift.add_(0.3)
    expected = F.linear(gelu_rows, layer.weight, layer.bias)
    torch.testing.assert_close(layer(gelu_rows), expected, rtol=0.05, atol=0.05)


@torch.no_grad()
def test_a_shift_makes_more_of_few_levels(gelu_rows):
    def error(layer):
        exact = F.linear(gelu_rows, layer.weight, layer.bias)
        return (layer(gelu_rows) - exact).var(0).sum().item()

    torch.manual_seed(0)
    moved = with_shift(3, gelu_rows)
    assert moved.channel_shift.abs().min() > 0
    fixed = copy.deepcopy(moved)
    fixed.channel_shift = None
    fixed.calibrate(gelu_rows)
    assert error(moved) < 0.95 * error(fixed)


@torch.no_grad()
def test_the_matmul_sees_the_input_without_the_shift(gelu_rows):
    layer = with_shift(3, gelu_rows)
    seen = layer.dequantized_input(gelu_rows)
    assert (seen.unique(dim=0).shape[0]) < len(gelu_rows)
    out = F.linear(seen, layer.quantized_weight(), layer.bias)
    torch.testing.assert_close(layer(gelu_rows), out, rtol=1e-5, atol=1e-5)


def test_gradients_reach_the_shift(gelu_rows):
    """Where values are clipped: rounding is straight-through, and moves with them elsewhere."""
    layer = with_shift(3, gelu_rows)
    layer(gelu_rows * 2).square().sum().backward()
    assert layer.channel_shift.grad.isfinite().all()
    assert layer.channel_shift.grad.abs().max() > 0.1


@pytest.fixture
def tokens():
    """(200, 5, 6): a first row that is all but constant, and wide; the others are normal."""
    x = noise(200, 5, 6)
    x[:, 0] = 0.1 * x[:, 0] + torch.tensor([4.0, -3.0, 0.0, 9.0, -1.0, 2.0])
    return x


def with_prefix(bits, tokens, site=None, bias=True, offset=False, grid=None):
    torch.manual_seed(0)
    layer = FakeQuantLinear(
        nn.Linear(6, 4, bias=bias), weight_grid(8), activation_grid(bits), PrefixFormat(1, grid)
    )
    if site is not None:
        layer.rescale = ChannelRescale(6, site)
        layer.rescale.log.data = torch.linspace(-1, 1, 6)
    if offset:
        layer.add_channel_shift()
    layer.calibrate(tokens[:, 1:].flatten(0, 1), tokens[:, :1])
    return layer


@torch.no_grad()
def test_a_row_that_is_all_but_constant_is_quantized_around_its_mean(tokens):
    layer = with_prefix(3, tokens)
    exact = F.linear(tokens, layer.weight, layer.bias)
    error = (layer(tokens) - exact).square().mean((0, 2))
    assert error[0] < 0.02 * error[1:].mean()
    one = linear_without_prefix(layer, tokens)
    assert (one(tokens) - exact).square().mean((0, 2))[0] > 100 * error[0]


def linear_without_prefix(layer, tokens):
    one = FakeQuantLinear(nn.Linear(6, 4), layer.grid, layer.input.grid)
    one.load_state_dict({name: layer.state_dict()[name] for name in one.state_dict()}, strict=True)
    one.calibrate(tokens.flatten(0, 1))
    return one


@torch.no_grad()
@pytest.mark.parametrize("grid", [None, signed_grid(8)])
@pytest.mark.parametrize("consumed", [False, True])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("site", [None, FoldTarget.NONE])
def test_rows_of_their_own_are_stored(site, bias, consumed, grid, tokens):
    layer = with_prefix(4, tokens, site, bias, grid=grid)
    layer.prefix_channel_shift.add_(torch.linspace(-0.4, 0.4, 6))
    if consumed:
        layer.consumer = ChannelRescale(4, FoldTarget.LINEAR)
        layer.consumer.log.copy_(torch.linspace(-0.5, 0.5, 4))
    stored = layer.convert()
    assert stored.prefix_shift.shape == (1, 6)
    assert stored.prefix_bias.shape == (1, 4)
    torch.testing.assert_close(stored(tokens), layer(tokens), rtol=1e-4, atol=1e-4)
    # A head behind the blocks is given one row for each image, that of no other.
    torch.testing.assert_close(stored(tokens[:, 1]), layer(tokens[:, 1]), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_rows_of_their_own_may_have_more_bits(tokens):
    few, many = with_prefix(3, tokens), with_prefix(3, tokens, grid=signed_grid(8))
    errors = [
        (layer(tokens) - F.linear(tokens, layer.effective_weight(), layer.bias))
        .square()
        .mean((0, 2))
        for layer in (few, many)
    ]
    # Five bits are a thirty-second of the scale, and so a thousandth of the error.
    assert errors[1][0] < 0.01 * errors[0][0]
    assert torch.equal(errors[1][1:], errors[0][1:])


@torch.no_grad()
def test_rows_of_their_own_beside_a_shift_of_the_others(tokens):
    layer = with_prefix(4, tokens, FoldTarget.NONE, offset=True)
    torch.testing.assert_close(layer.convert()(tokens), layer(tokens), rtol=1e-4, atol=1e-4)
    out = F.linear(layer.dequantized_input(tokens), layer.quantized_weight(), layer.bias)
    torch.testing.assert_close(layer(tokens), out, rtol=1e-4, atol=1e-4)


def test_gradients_reach_what_rows_have_of_their_own(tokens):
    layer = with_prefix(3, tokens, FoldTarget.NONE, offset=True)
    layer(tokens * 2).square().sum().backward()
    for parameter in (
        layer.input.log_prefix_scale,
        layer.prefix_channel_shift,
        layer.channel_shift,
    ):
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().max() > 0.01


@torch.no_grad()
def test_a_matmul_may_have_prefix_rows(tokens):
    product = fake_quant_matmul(activation_grid(4), prefix=PrefixFormat(1))
    left, right = tokens * torch.tensor([0.02, 1, 1, 1, 1]).view(5, 1), noise(200, 6, 4)
    product.left.calibrate(left, lambda d: d @ right)
    product.right.calibrate(right, lambda d: left @ d)
    one = (product(left, right) - left @ right).square().mean((0, 2))
    product.left.calibrate_prefix(left[:, :1], lambda d: d @ right)
    own = (product(left, right) - left @ right).square().mean((0, 2))
    assert own[0] < 0.5 * one[0]
    assert torch.equal(own[1:], one[1:])
    torch.testing.assert_close(product.convert()(left, right), product(left, right))
