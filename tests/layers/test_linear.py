"""The quantized Linear, Conv2d and product: trained and stored compute alike."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vitquant.layers.conv import LearnedConv2d, convolution_settings
from vitquant.layers.linear import LearnedLinear
from vitquant.layers.product import learned_product
from vitquant.layers.rescale import Rescale, Site
from vitquant.quantizers.grid import activation_grid, weight_grid


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))


def linear(site=None, activation=8, bias=True):
    layer = LearnedLinear(
        nn.Linear(6, 5, bias=bias), weight_grid(8), activation and activation_grid(activation)
    )
    if site is not None:
        layer.rescale = Rescale(6, site)
        layer.rescale.log.data = torch.linspace(-1, 1, 6)
    return layer


@torch.no_grad()
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("site", [None, Site.STORED])
def test_stored_integers_compute_what_was_trained(site, bias):
    layer, x = linear(site, bias=bias), noise(3, 7, 6)
    layer.calibrate(x.flatten(0, 1))
    torch.testing.assert_close(layer.integer()(x), layer(x))
    exact = F.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(layer(x), exact, rtol=0, atol=0.05)


@torch.no_grad()
def test_weights_alone():
    layer, x = linear(activation=None), noise(3, 6)
    layer.calibrate(x)
    expected = F.linear(x, layer.effective_weight(), layer.bias)
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer.integer()(x), expected)


@torch.no_grad()
def test_an_earlier_linear_divides_for_a_later_one():
    first, second, x = (
        linear(),
        LearnedLinear(nn.Linear(3, 4), weight_grid(8), activation_grid(8)),
        noise(20, 6),
    )
    first.calibrate(x)
    exact = second.weight @ F.linear(x, first.effective_weight(), first.bias)[:, 1:4].mT
    rescale = Rescale(3, Site.LINEAR, "first")
    rescale.log.data = torch.tensor([-0.5, 0.2, 0.5])
    first.consumer, first.consumer_start, second.rescale = rescale, 1, rescale
    middle = first(x)
    second.calibrate(middle[:, 1:4] * rescale.factor())
    torch.testing.assert_close(first.integer()(x), middle)
    found = second(middle[:, 1:4]) - second.bias
    torch.testing.assert_close(found.mT, exact, rtol=0, atol=0.05)
    torch.testing.assert_close(second.integer()(middle[:, 1:4]), second(middle[:, 1:4]))


def test_everything_about_a_layer_can_be_trained():
    layer, x = linear(Site.STORED), noise(50, 6)
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
    layer, x = LearnedConv2d(plain, weight_grid(8), activation_grid(8)), noise(2, 3, 9, 9)
    layer.calibrate(x)
    torch.testing.assert_close(layer(x), plain(x), rtol=0, atol=0.06)
    torch.testing.assert_close(layer.integer()(x), layer(x))


def test_padding_with_something_other_than_zeros_is_refused():
    with pytest.raises(ValueError, match="reflect"):
        convolution_settings(nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"))


@torch.no_grad()
@pytest.mark.parametrize("shapes", [((2, 3, 4, 5), (2, 3, 5, 6)), ((2, 3, 4, 5), (1, 3, 5, 6))])
def test_a_product_broadcasts_like_matmul(shapes):
    left, right = (noise(*shape) for shape in shapes)
    product = learned_product(activation_grid(8))
    product.left.calibrate(left, lambda d: d)
    product.right.calibrate(right, lambda d: d)
    torch.testing.assert_close(product(left, right), left @ right, rtol=0, atol=0.2)
    assert torch.equal(product.integer()(left, right), product(left, right))
