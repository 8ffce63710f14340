"""Fake quantization of one tensor against the same in ordinary operations."""

import pytest
import torch

from vitquant.quantization.quantizers import affine
from vitquant.quantization.quantizers.affine import fake_quantize

LAYOUTS = {
    "matrix": lambda randn: randn(40, 6),
    "transposed": lambda randn: randn(6, 40).mT,
    "4-D": lambda randn: randn(2, 3, 5, 6),
    "strided": lambda randn: randn(2, 7, 3, 12).permute(0, 2, 1, 3)[..., ::2],
    "expanded": lambda randn: randn(1, 5, 6).expand(4, 5, 6),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [0, 6])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_values_and_gradients_are_those_of_the_composition(
    layout, channels, bits, naive, randn, quantizer, gradients
):
    x = LAYOUTS[layout](randn).detach().requires_grad_()
    q = quantizer(bits, channels, zero_point=1.0)
    leaves = [leaf for leaf in (x, q.scale, q.zero_point, q.multiplier) if leaf is not None]
    expected = naive(x, q)
    torch.testing.assert_close(fake_quantize(x, q), expected, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(
        gradients(fake_quantize(x, q), *leaves), gradients(expected, *leaves), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


def test_blocks_do_not_change_the_result(monkeypatch, randn, quantizer, gradients):
    x, q = randn(11, 3, 6).requires_grad_(), quantizer(4, 6)
    leaves = x, q.scale, q.zero_point, q.multiplier
    whole = fake_quantize(x, q), *gradients(fake_quantize(x, q), *leaves)
    monkeypatch.setattr(affine, "_BLOCK", 40)
    parts = fake_quantize(x, q), *gradients(fake_quantize(x, q), *leaves)
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_none_leaves_the_tensor_alone(randn):
    x = randn(3, 4)
    assert fake_quantize(x, None) is x


def test_values_lie_on_the_grid(randn, quantizer):
    q = quantizer(3)
    codes = fake_quantize(randn(50, 6), q) / q.scale + q.zero_point
    torch.testing.assert_close(codes, codes.round())
    assert set(codes.round().unique().tolist()) == set(range(8))


def test_zero_stays_exactly_zero(quantizer):
    assert torch.equal(fake_quantize(torch.zeros(2, 3), quantizer(4)), torch.zeros(2, 3))


def test_an_empty_batch_passes(quantizer):
    assert fake_quantize(torch.zeros(0, 6, dtype=torch.float64), quantizer(4, 6)).shape == (0, 6)
