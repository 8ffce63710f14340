"""Fake quantization spelled out in ordinary operations, to compare the fused kernels with."""

import pytest
import torch

from vitquant.quantization.quantizers.affine import QParams
from vitquant.quantization.quantizers.grid import activation_grid


@pytest.fixture
def round_and_clip():
    """round_and_clip(v, shift, low, high) → round(v) + shift between low and high.

    Straight-through where that is not clipped. Not ``torch.clamp``: whether its gradient passes at
    the two ends depends on torch's version.
    """

    def on_grid(v, shift, low, high):
        # Exactly the integer: "v + (round(v) - v)" may miss it by a bit.
        code = v.round().detach() + (v - v.detach()) + shift
        low, high = torch.full_like(code, low), torch.full_like(code, high)
        return torch.where(code < low, low, torch.where(code > high, high, code))

    return on_grid


@pytest.fixture
def naive(round_and_clip):
    """naive(x, q) → ``x`` on the grid of ``q``, differentiable by autograd alone (LSQ+)."""

    def fake_quantize(x, q):
        if q is None:
            return x
        x = x if q.multiplier is None else x * q.multiplier
        code = round_and_clip(x / q.scale, q.zero_point, q.grid.qmin, q.grid.qmax)
        return q.scale * (code - q.zero_point)

    return fake_quantize


@pytest.fixture
def randn():
    """randn(*shape) → float64 noise that no two calls share; the same in every run."""
    generator = torch.Generator().manual_seed(0)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.fixture
def quantizer():
    """quantizer(bits, channels) → leaves of a QParams, clipping part of standard noise."""

    def make(bits=4, channels=0, scale=0.23, zero_point=6.0):
        multiplier = None
        if channels:
            multiplier = torch.linspace(0.5, 1.7, channels, dtype=torch.float64).requires_grad_()
        return QParams(
            activation_grid(bits),
            torch.tensor(scale, dtype=torch.float64, requires_grad=True),
            torch.tensor(zero_point, dtype=torch.float64, requires_grad=True),
            multiplier,
        )

    return make


@pytest.fixture
def gradients():
    """gradients(output, *leaves) → of a fixed, uneven weighting of ``output``'s elements."""

    def of(output, *leaves):
        generator = torch.Generator().manual_seed(1)
        weights = torch.randn(output.shape, generator=generator, dtype=output.dtype)
        return torch.autograd.grad((output * weights).sum(), leaves)

    return of
