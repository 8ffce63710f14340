"""Rounding of weights in which later input channels make up for the errors of earlier ones."""

import torch
from torch import Tensor

from vitquant.quantization.quantizers.grid import Grid

_BLOCK = 64


def gptq_round(weight: Tensor, scale: Tensor, grid: Grid, hessian: Tensor) -> Tensor:
    """The integers (O, I), as float, of ``weight`` (O, I) at ``scale`` (O,), for certain inputs.

    One input channel after the other is rounded, that of the largest moment first, and the weights
    not yet rounded are moved to where the expected squared error of the layer's output is least
    (GPTQ, Frantar, Ashkboos, Hoefler, Alistarh, arXiv 2210.17323, which solves all rows in one
    order by a Cholesky factor of the inverse).

    Args:
        hessian: (I, I) in double precision, the mean of x xᵀ over inputs x (half the Hessian of the
            output's squared error); positive definite.

    Raises:
        torch.linalg.LinAlgError: the Hessian is not positive definite.
    """
    order = hessian.diag().argsort(descending=True)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian[order][:, order]))
    factor = torch.linalg.cholesky(inverse, upper=True).to(weight.dtype)
    left = weight[:, order]
    codes = torch.empty_like(left)
    for start in range(0, left.shape[1], _BLOCK):
        end = min(start + _BLOCK, left.shape[1])
        errors = left.new_empty(len(left), end - start)
        for i in range(start, end):
            codes[:, i] = (left[:, i] / scale).round_().clamp_(grid.qmin, grid.qmax)
            error = (left[:, i] - codes[:, i] * scale) / factor[i, i]
            left[:, i + 1 : end] -= error[:, None] * factor[i, i + 1 : end]
            errors[:, i - start] = error
        left[:, end:] -= errors @ factor[start:end, end:]
    return codes[:, order.argsort()]
