"""A matrix product of fake-quantized operands that keeps only its float operands.

Composed from ordinary operations, one fake-quantized product keeps the operand, its quotient by the
scale, the rounded value, the clamp's mask and the dequantized value for the backward pass. Here
the backward pass computes the rounded operands again from the float ones, so that a quantized
layer holds what the float layer holds.
"""

import torch
from torch import Tensor

from vitquant.quantization.quantizers.affine import (
    QParams,
    fake_quantize_backward,
    fake_quantize_forward,
)


def quantized_matmul(a: Tensor, b: Tensor, a_qparams: QParams | None, b_qparams: QParams | None):
    """``fake_quantize(a) @ fake_quantize(b)``, differentiable in both operands and all QParams.

    Args:
        a: (..., M, K).
        b: (..., K, N); both must have the same leading dimensions, or ``b`` is a matrix.
        a_qparams, b_qparams: how each operand is quantized; None leaves it as it is.
    """
    # A quantized product must not be seen, and quantized again, by the interception around it.
    with torch._C.DisableTorchFunction():
        return _QuantizedMatmul.apply(a, b, *_spread(a_qparams), *_spread(b_qparams))


def _spread(q: QParams | None):
    return (None, None, None, None) if q is None else q


class _QuantizedMatmul(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b, *grids):
        dtype = _autocast_dtype(a)
        ctx.save_for_backward(a, b, *grids[1:4], *grids[5:8])
        ctx.grids = grids[0], grids[4]
        a_qparams, b_qparams = _gather(grids[0], grids[1:4]), _gather(grids[4], grids[5:8])
        return torch.matmul(_value(a, a_qparams, dtype), _value(b, b_qparams, dtype))

    @staticmethod
    def backward(ctx, grad):
        a, b, *parameters = ctx.saved_tensors
        a_qparams = _gather(ctx.grids[0], parameters[:3])
        b_qparams = _gather(ctx.grids[1], parameters[3:])
        grad_a = grad_b = None
        if ctx.needs_input_grad[0] or any(ctx.needs_input_grad[3:6]):
            grad_a = torch.matmul(grad, _value(b, b_qparams, grad.dtype).mT)
        if ctx.needs_input_grad[1] or any(ctx.needs_input_grad[7:10]):
            value = _value(a, a_qparams, grad.dtype)
            if b.dim() == 2:
                grad_b = value.flatten(0, -2).mT @ grad.flatten(0, -2)
            else:
                grad_b = torch.matmul(value.mT, grad)
        grad_a, *a_rest = _through(grad_a, a, a_qparams)
        grad_b, *b_rest = _through(grad_b, b, b_qparams)
        return grad_a, grad_b, None, *a_rest, None, *b_rest


def _gather(grid, parameters) -> QParams | None:
    return None if grid is None else QParams(grid, *parameters)


def _autocast_dtype(x: Tensor) -> torch.dtype:
    """The precision of products under torch.autocast; x's own elsewhere."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def _value(x: Tensor, q: QParams | None, dtype: torch.dtype) -> Tensor:
    return x.to(dtype) if q is None else fake_quantize_forward(x, q, dtype)


def _through(grad: Tensor | None, x: Tensor, q: QParams | None):
    if grad is None:
        return None, None, None, None
    if q is None:
        return grad.to(x.dtype), None, None, None
    return fake_quantize_backward(grad, x, q)
