"""Fake quantization of a whole tensor, or of its heads or rows: forward and backward.

The straight-through gradients are those of LSQ+ (Bhalgat et al., 2020), written for a value that is
stored as ``q = clamp(round(x / s) + z, qmin, qmax)`` and read as ``s * (q - z)``. The extra factor
``multiplier`` (per-channel rescaling) acts on ``x`` first, so that rescaling costs no pass of its
own over the activations.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from vitquant.core.torch_private import is_traced
from vitquant.quantization.quantizers import compiled
from vitquant.quantization.quantizers.grid import Grid, PrefixGrids

# A block of this many floats stays in a core's second-level cache while several elementwise
# operations pass over it. On DeiT-Tiny's MLP activations that is four times as fast as passing over
# the whole tensor each time.
_BLOCK = 1 << 17


class QParams(NamedTuple):
    """What maps a tensor onto a grid.

    scale: positive, of shape (); or with one for each head of a tensor (..., H, M, N), (H, 1, 1),
    for each row of a tensor (..., M, N), (M, 1), or for both, (H, M, 1). zero_point: shape (),
    integer-valued float in [qmin, qmax]. multiplier: shape (C,) along the tensor's last dimension,
    or None. grid: of all rows; where the prefix has another, each row has a scale.
    """

    grid: Grid | PrefixGrids
    scale: Tensor
    zero_point: Tensor
    multiplier: Tensor | None = None


class QParamGrads(NamedTuple):
    x: Tensor
    scale: Tensor
    zero_point: Tensor
    multiplier: Tensor | None


def fake_quantize_forward(
    x: Tensor, q: QParams, dtype: torch.dtype | None = None, *, use_compiled: bool = False
) -> Tensor:
    """Round ``x * multiplier`` to the grid and dequantize it. Any shape; no autograd.

    It is computed in the scale's precision; the result is of ``dtype``, by default x's.
    """
    factor, low, high = _factor_and_limits(q)
    if is_traced():
        # In blocks, a captured graph would be bound to the number of images.
        precise = (x.to(factor.dtype) * factor).round().clamp(low, high) * q.scale
        return precise.to(dtype or x.dtype)
    if use_compiled:
        return compiled.per_tensor_value(x, factor, low, high, q.scale, dtype or x.dtype)
    out = torch.empty(x.shape, dtype=dtype or x.dtype, device=x.device)
    for part, target in _blocks(x, out):
        precise = (
            target if target.dtype == factor.dtype else torch.empty_like(target, dtype=factor.dtype)
        )
        torch.mul(part.to(factor.dtype), factor, out=precise)
        precise.round_().clamp_(low, high).mul_(q.scale)
        if precise is not target:
            target.copy_(precise)
    return out


def fake_quantize_backward(
    grad: Tensor, x: Tensor, q: QParams, *, use_compiled: bool = False
) -> QParamGrads:
    """Gradients of :func:`fake_quantize_forward` from ``grad``, the gradient at its output."""
    factor, low, high = _factor_and_limits(q)
    if use_compiled:
        gradients = compiled.per_tensor_gradients(grad, x, factor, low, high, q.multiplier)
        grad_x, grad_scale, per_scale, grad_multiplier = gradients
        return QParamGrads(grad_x, grad_scale, _zero_point_grad(per_scale, q), grad_multiplier)
    grad_x = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    grad_scale, per_scale = torch.zeros_like(q.scale), torch.zeros_like(q.scale)
    shape = q.scale.shape
    grad_multiplier = None if q.multiplier is None else torch.zeros_like(q.multiplier)
    for part, g, inside in _blocks(x, grad, grad_x):
        part = part.to(factor.dtype)
        v = part * factor
        rounded = v.round()
        code = rounded.clamp(low, high)
        torch.mul(g, rounded == code, out=inside)
        grad_scale += (g * code).sum_to_size(shape) - (inside * v).sum_to_size(shape)
        per_scale += inside.sum_to_size(shape) - g.sum_to_size(shape)
        if grad_multiplier is not None and q.multiplier is not None:
            grad_multiplier += (inside * part).flatten(0, -2).sum(0)
            inside.mul_(q.multiplier)
    return QParamGrads(grad_x, grad_scale, _zero_point_grad(per_scale, q), grad_multiplier)


def _factor_and_limits(q: QParams) -> tuple[Tensor, Tensor, Tensor]:
    factor = q.scale.reciprocal() if q.multiplier is None else q.multiplier / q.scale
    if isinstance(q.grid, Grid):
        return factor, q.grid.qmin - q.zero_point, q.grid.qmax - q.zero_point
    prefix, others, count = q.grid.prefix, q.grid.others, q.grid.count

    def limits(own: int, other: Tensor) -> Tensor:
        """(num_tokens, 1): of the prefix, and of the rows behind it."""
        rows = q.scale.shape[-2] - count
        return torch.cat([q.scale.new_full((count, 1), own), other.expand(rows, 1)])

    low = limits(prefix.qmin, others.qmin - q.zero_point)
    return factor, low, limits(prefix.qmax, others.qmax - q.zero_point)


def _zero_point_grad(per_scale: Tensor, q: QParams) -> Tensor:
    """From its parts (scale's shape) over their scales; rows with a grid of their own have none."""
    parts = per_scale * q.scale
    return (parts if isinstance(q.grid, Grid) else parts[..., q.grid.count :, :]).sum()


def _blocks(first: Tensor, *others: Tensor) -> Iterable[tuple[Tensor, ...]]:
    if first.device.type != "cpu" or first.dim() < 2 or is_traced():
        return [(first, *others)]
    rows = max(1, _BLOCK // max(1, first[:1].numel()))
    return zip(*(t.split(rows) for t in (first, *others)), strict=True)


def fake_quantize(x: Tensor, q: QParams | None, *, use_compiled: bool = False) -> Tensor:
    """``x`` rounded to the grid and dequantized; differentiable. None leaves it as it is."""
    if q is None:
        return x
    if not needs_gradient(x, *q[1:]):
        return fake_quantize_forward(x, q, use_compiled=use_compiled)
    return _FakeQuantize.apply(x, use_compiled, *q)


def needs_gradient(*tensors: Tensor | None) -> bool:
    """Whether autograd is to see what is computed from ``tensors``.

    Else no autograd.Function is called: torch.jit.trace and vmap know nothing of its inside.
    """
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


class _FakeQuantize(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, use_compiled, grid, scale, zero_point, multiplier):
        ctx.save_for_backward(x, scale, zero_point, multiplier)
        ctx.grid, ctx.compiled = grid, use_compiled
        q = QParams(grid, scale, zero_point, multiplier)
        return fake_quantize_forward(x, q, use_compiled=use_compiled)

    @staticmethod
    def backward(ctx, grad):
        x, *qparams = ctx.saved_tensors
        q = QParams(ctx.grid, *qparams)
        grads = fake_quantize_backward(grad, x, q, use_compiled=ctx.compiled)
        return grads.x, None, None, grads.scale, grads.zero_point, grads.multiplier
