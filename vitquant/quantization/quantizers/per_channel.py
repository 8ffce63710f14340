"""Fake quantization of weights: symmetric, one scale for each output channel."""

import math

import torch
from torch import Tensor

from vitquant.quantization.quantizers import compiled
from vitquant.quantization.quantizers.grid import Grid


def codes(weight: Tensor, scale: Tensor, grid: Grid) -> Tensor:
    """The integers of ``weight`` (O, ...) at ``scale`` (O,), as float of the weight's shape."""
    return (weight / view_per_channel(scale, weight)).round_().clamp_(grid.qmin, grid.qmax)


def view_per_channel(scale: Tensor, weight: Tensor) -> Tensor:
    """View ``scale`` (O,) so that it broadcasts over a weight of shape (O, ...)."""
    return scale.view(-1, *[1] * (weight.dim() - 1))


def fake_quantize(
    weight: Tensor, scale: Tensor, grid: Grid, *, use_compiled: bool = False
) -> Tensor:
    """Round ``weight`` (O, ...) to the grid at ``scale`` (O,) and dequantize it; differentiable.

    Straight-through for the weight; the gradient of the scale is LSQ's (Esser et al., 2020), with
    its normalization by 1 / sqrt(n * qmax).
    """
    return _FakeQuantize.apply(weight, scale, grid, use_compiled)


class _FakeQuantize(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight: Tensor, scale: Tensor, grid: Grid, use_compiled: bool) -> Tensor:
        ctx.save_for_backward(weight, scale)
        ctx.grid, ctx.compiled = grid, use_compiled
        if use_compiled:
            flat = weight.flatten(1)
            return compiled.per_channel_value(flat, scale, grid.qmin, grid.qmax).view(weight.shape)
        return codes(weight, scale, grid).mul_(view_per_channel(scale, weight))

    @staticmethod
    def backward(ctx, grad: Tensor):
        weight, scale = ctx.saved_tensors
        norm = math.sqrt(weight[0].numel() * ctx.grid.qmax)
        if ctx.compiled:
            inside, grad_scale = compiled.per_channel_gradients(
                grad.flatten(1), weight.flatten(1), scale, ctx.grid.qmin, ctx.grid.qmax
            )
            return inside.view(weight.shape), grad_scale / norm, None, None
        v = weight / view_per_channel(scale, weight)
        rounded = v.round()
        code = rounded.clamp(ctx.grid.qmin, ctx.grid.qmax)
        inside = grad * (rounded == code)
        grad_scale = (grad * code - inside * v).flatten(1).sum(1)
        return inside, grad_scale / norm, None, None
