"""A matmul of fake-quantized operands that keeps only its float operands for the backward pass.

Composed from ordinary operations, a fake-quantized matmul keeps the operand, its quotient by the
scale, the rounded value, the clamp's mask and the dequantized value for the backward pass. Here
the backward pass computes the rounded operands again from the float ones, so that a quantized
layer holds what the float layer holds.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from vitquant.quantization.quantizers.affine import (
    QParams,
    fake_quantize_backward,
    fake_quantize_forward,
    needs_gradient,
)
from vitquant.quantization.quantizers.grid import Grid, PrefixGrids


def quantized_matmul(
    a: Tensor,
    b: Tensor,
    a_qparams: QParams | None,
    b_qparams: QParams | None,
    *,
    use_compiled: bool = False,
) -> Tensor:
    """``fake_quantize(a) @ fake_quantize(b)``, differentiable in both operands and all QParams.

    No interception around it sees this matmul.

    Args:
        a: (..., M, K).
        b: (..., K, N); both must have the same leading dimensions, or ``b`` is a matrix.
        a_qparams, b_qparams: how each operand is quantized; None leaves it as it is.
    """
    a_fields, b_fields = _fields(a_qparams), _fields(b_qparams)
    if needs_gradient(a, b, *a_fields[1:], *b_fields[1:]):
        return _QuantizedMatmul.apply(a, b, use_compiled, *a_fields, *b_fields)
    return _product(a, b, a_qparams, b_qparams, use_compiled)


def _fields(q: QParams | None) -> tuple:
    return (None, None, None, None) if q is None else tuple(q)


# The operator behind torch.matmul. An interception around a quantized layer looks for the calls
# that an attention makes, and must not see, and quantize again, what the layer computes.
_matmul = torch.ops.aten.matmul.default


class _QuantizedMatmul(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b, use_compiled, *fields):
        ctx.save_for_backward(a, b, *fields[1:4], *fields[5:8])
        ctx.grids, ctx.compiled = (fields[0], fields[4]), use_compiled
        a_qparams, b_qparams = _qparams(fields[0], fields[1:4]), _qparams(fields[4], fields[5:8])
        return _product(a, b, a_qparams, b_qparams, use_compiled)

    @staticmethod
    def backward(ctx, grad):
        a, b, *tensors = ctx.saved_tensors
        a_qparams, b_qparams = (
            _qparams(ctx.grids[0], tensors[:3]),
            _qparams(ctx.grids[1], tensors[3:]),
        )
        grad_a = grad_b = None
        if ctx.needs_input_grad[0] or any(ctx.needs_input_grad[4:7]):
            grad_a = _matmul(grad, _value(b, b_qparams, grad.dtype, ctx.compiled).mT)
        if ctx.needs_input_grad[1] or any(ctx.needs_input_grad[8:11]):
            value = _value(a, a_qparams, grad.dtype, ctx.compiled)
            if b.dim() == 2:
                grad_b = _matmul(value.flatten(0, -2).mT, grad.flatten(0, -2))
            else:
                grad_b = _matmul(value.mT, grad)
        grad_a, *a_grads = _backward(grad_a, a, a_qparams, ctx.compiled)
        grad_b, *b_grads = _backward(grad_b, b, b_qparams, ctx.compiled)
        return grad_a, grad_b, None, None, *a_grads, None, *b_grads


def _product(
    a: Tensor, b: Tensor, a_qparams: QParams | None, b_qparams: QParams | None, use_compiled: bool
) -> Tensor:
    dtype = _autocast_dtype(a)
    return _matmul(
        _value(a, a_qparams, dtype, use_compiled), _value(b, b_qparams, dtype, use_compiled)
    )


def _qparams(grid: Grid | PrefixGrids | None, tensors: Sequence[Tensor]) -> QParams | None:
    return None if grid is None else QParams(grid, *tensors)


def _autocast_dtype(x: Tensor) -> torch.dtype:
    """The precision of matmuls under torch.autocast; x's own elsewhere."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def _value(x: Tensor, q: QParams | None, dtype: torch.dtype, use_compiled: bool) -> Tensor:
    if q is None:
        return x.to(dtype)
    return fake_quantize_forward(x, q, dtype, use_compiled=use_compiled)


def _backward(grad: Tensor | None, x: Tensor, q: QParams | None, use_compiled: bool) -> tuple:
    if grad is None:
        return None, None, None, None
    if q is None:
        return grad.to(x.dtype), None, None, None
    return fake_quantize_backward(grad, x, q, use_compiled=use_compiled)
