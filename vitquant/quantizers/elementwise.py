"""Fake quantization of one tensor, for operations other than matrix products."""

import torch
from torch import Tensor

from vitquant.quantizers.per_tensor import PerTensor, fake_quantize, fake_quantize_backward


def quantized(x: Tensor, q: PerTensor | None) -> Tensor:
    """``x`` rounded to the grid and read back; differentiable. None leaves it as it is."""
    return x if q is None else _Quantized.apply(x, *q)


class _Quantized(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, grid, scale, zero_point, multiplier):
        ctx.save_for_backward(x, scale, zero_point, multiplier)
        ctx.grid = grid
        return fake_quantize(x, PerTensor(grid, scale, zero_point, multiplier))

    @staticmethod
    def backward(ctx, grad):
        x, *parameters = ctx.saved_tensors
        grads = fake_quantize_backward(grad, x, PerTensor(ctx.grid, *parameters))
        return grads.x, None, grads.scale, grads.zero_point, grads.multiplier
