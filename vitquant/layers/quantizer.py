"""The quantizer of one activation: a scale and a zero point for the tensor, or scales of heads."""

import torch
from torch import Tensor, nn

from vitquant.quantizers.grid import Grid
from vitquant.quantizers.per_tensor import PerTensor
from vitquant.quantizers.search import Through, search_per_head, search_per_tensor


class LearnedQuantizer(nn.Module):
    """A quantizer whose scale and zero point are trained (LSQ+).

    The scale is kept as its logarithm: it stays positive, and one learning rate suits tensors of
    every magnitude. The zero point is rounded on the way forward, with a straight-through gradient.

    With ``heads``, each head of a tensor (..., heads, M, N) that is never negative has a scale of
    its own; the zero point is the lowest level.
    """

    signed: Tensor

    def __init__(self, grid: Grid, heads: int = 0) -> None:
        super().__init__()
        self.grid = grid
        self.heads = heads
        self.log_scale = nn.Parameter(torch.zeros(_shape(heads)))
        self.zero_point = nn.Parameter(torch.zeros(()))
        # A value that is never negative needs no zero point, and must not drift into having one:
        # integer kernels skip the correction term where it is zero.
        self.register_buffer("signed", torch.tensor(True), persistent=False)

    @torch.no_grad()
    def calibrate(self, x: Tensor, through: Through) -> None:
        """Search scale and zero point on a sample ``x`` that enters the operation ``through``."""
        if self.heads:
            self.log_scale.copy_(search_per_head(x, self.grid, through).log())
            self.zero_point.fill_(self.grid.qmin)
            self.signed.fill_(False)
            return
        scale, zero_point = search_per_tensor(x, self.grid, through)
        self.log_scale.copy_(scale.log())
        self.zero_point.copy_(zero_point)
        self.signed.copy_(x.min() < 0)

    def searched(self) -> list[Tensor]:
        """What :meth:`calibrate` sets."""
        return [self.log_scale, self.zero_point, self.signed]

    def parameters_for(self, multiplier: Tensor | None = None) -> PerTensor:
        zero_point = self.zero_point.clamp(self.grid.qmin, self.grid.qmax)
        rounded = zero_point + (zero_point.round() - zero_point).detach()
        return PerTensor(self.grid, self.log_scale.exp(), rounded, multiplier)

    @torch.no_grad()
    def fixed(self) -> "FixedQuantizer":
        """The quantizer that a checkpoint stores."""
        fixed = FixedQuantizer(self.grid, self.heads).to(self.log_scale.device)
        q = self.parameters_for()
        fixed.scale.copy_(q.scale)
        fixed.zero_point.copy_(q.zero_point)
        return fixed


class FixedQuantizer(nn.Module):
    """A quantizer as it is stored: float32 scales and a zero point of one unsigned byte."""

    scale: Tensor
    zero_point: Tensor

    def __init__(self, grid: Grid, heads: int = 0) -> None:
        super().__init__()
        self.grid = grid
        self.register_buffer("scale", torch.ones(_shape(heads)))
        self.register_buffer("zero_point", torch.zeros((), dtype=torch.uint8))

    def parameters_for(self, multiplier: Tensor | None = None) -> PerTensor:
        return PerTensor(self.grid, self.scale, self.zero_point.to(self.scale.dtype), multiplier)


def _shape(heads: int) -> tuple[int, ...]:
    return (heads, 1, 1) if heads else ()
