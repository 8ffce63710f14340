"""The quantizer of one activation: a scale and a zero point, for the tensor or for parts of it."""

import torch
from torch import Tensor, nn

from vitquant.quantizers.grid import NO_FRONT, Front, Grid, RowGrids
from vitquant.quantizers.per_tensor import PerTensor
from vitquant.quantizers.search import (
    Through,
    search_per_head,
    search_per_tensor,
    search_prefix,
)


class LearnedQuantizer(nn.Module):
    """A quantizer whose scale and zero point are trained (LSQ+).

    The scale is kept as its logarithm: it stays positive, and one learning rate suits tensors of
    every magnitude. The zero point is rounded on the way forward, with a straight-through gradient.

    With ``heads``, each head of a tensor (..., heads, M, N) that is never negative has a scale of
    its own; the zero point is the lowest level. With ``front``, so has each of these rows of a
    tensor (..., M, N): those of the class token and the registers, which are unlike the patches'
    and which the model's answer is read from.
    """

    signed: Tensor

    def __init__(self, grid: Grid, heads: int = 0, front: Front = NO_FRONT) -> None:
        super().__init__()
        self.grid = grid
        self.front = front
        self.heads = heads
        self.log_scale = nn.Parameter(torch.zeros(_shape(heads)))
        self.log_prefix = None
        if front.count:
            self.log_prefix = nn.Parameter(torch.zeros(_front_shape(heads, front)))
        self.zero_point = nn.Parameter(torch.zeros(()))
        # A value that is never negative needs no zero point, and must not drift into having one:
        # integer kernels skip the correction term where it is zero.
        self.register_buffer("signed", torch.tensor(True), persistent=False)

    @torch.no_grad()
    def calibrate(self, x: Tensor, through: Through) -> None:
        """Search scale and zero point on a sample ``x`` that enters the operation ``through``.

        Rows at the front have those of the others then, until :meth:`calibrate_prefix`.
        """
        self._calibrate(x, through)
        if self.log_prefix is not None:
            self.log_prefix.copy_(self.log_scale.expand_as(self.log_prefix))

    @torch.no_grad()
    def calibrate_prefix(self, x: Tensor, through: Through, zero_point: int | None = None) -> None:
        """Search the scales of the rows at the front.

        x: (..., P, N), these rows of a sample. zero_point: the level of zero among them; by
        default that of all rows.
        """
        assert self.log_prefix is not None
        q = self.front_parameters()
        if zero_point is not None:
            q = q._replace(zero_point=torch.full_like(q.zero_point, zero_point))
        self.log_prefix.copy_(search_prefix(x, q, through).log())

    def front_parameters(self) -> PerTensor:
        """For rows at the front alone, were they to cover the range of the others."""
        q = self.parameters_for()
        if self.front.grid is None:
            return q
        scale = q.scale * self.grid.levels / self.front.grid.levels
        return PerTensor(self.front.grid, scale, torch.zeros_like(q.zero_point))

    def _calibrate(self, x: Tensor, through: Through) -> None:
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
        """What :meth:`calibrate` and :meth:`calibrate_prefix` set."""
        own = [] if self.log_prefix is None else [self.log_prefix]
        return [self.log_scale, self.zero_point, self.signed, *own]

    def parameters_for(
        self, multiplier: Tensor | None = None, rows: int | None = None
    ) -> PerTensor:
        """For a tensor (..., rows, N); without ``rows``, for rows that are not at the front."""
        zero_point = self.zero_point.clamp(self.grid.qmin, self.grid.qmax)
        rounded = zero_point + (zero_point.round() - zero_point).detach()
        q = PerTensor(self.grid, self.log_scale.exp(), rounded, multiplier)
        if not self.front.count or rows is None:
            return q
        return _by_rows(q, self.front, self.log_prefix.exp(), rows)

    @torch.no_grad()
    def fixed(self) -> "FixedQuantizer":
        """The quantizer that a checkpoint stores."""
        fixed = FixedQuantizer(self.grid, self.heads, self.front)
        fixed.to(self.log_scale.device)
        q = self.parameters_for()
        fixed.scale.copy_(q.scale)
        fixed.zero_point.copy_(q.zero_point)
        if fixed.prefix_scale is not None:
            fixed.prefix_scale.copy_(self.log_prefix.exp())
        return fixed


class FixedQuantizer(nn.Module):
    """A quantizer as it is stored: float32 scales and a zero point of one unsigned byte.

    scale: (), or (heads, 1, 1). prefix_scale: those of the P rows at the front, (P, 1) or
    (heads, P, 1), or None.
    """

    scale: Tensor
    zero_point: Tensor
    prefix_scale: Tensor | None

    def __init__(self, grid: Grid, heads: int = 0, front: Front = NO_FRONT) -> None:
        super().__init__()
        self.grid = grid
        self.front = front
        self.heads = heads
        self.register_buffer("scale", torch.ones(_shape(heads)))
        self.register_buffer("zero_point", torch.zeros((), dtype=torch.uint8))
        own = torch.ones(_front_shape(heads, front)) if front.count else None
        self.register_buffer("prefix_scale", own)

    def parameters_for(
        self, multiplier: Tensor | None = None, rows: int | None = None
    ) -> PerTensor:
        """As :meth:`LearnedQuantizer.parameters_for`."""
        q = PerTensor(self.grid, self.scale, self.zero_point.to(self.scale.dtype), multiplier)
        if not self.front.count or rows is None:
            return q
        return _by_rows(q, self.front, self.prefix_scale, rows)


def _shape(heads: int) -> tuple[int, ...]:
    return (heads, 1, 1) if heads else ()


def _front_shape(heads: int, front: Front) -> tuple[int, ...]:
    return (heads, front.count, 1) if heads else (front.count, 1)


def _by_rows(q: PerTensor, front: Front, scales: Tensor, rows: int) -> PerTensor:
    """With scales (rows, 1) or (heads, rows, 1): ``scales`` are those of the rows at the front."""
    others = q.scale.expand(*scales.shape[:-2], rows - front.count, 1)
    grid = q.grid if front.grid is None else RowGrids(front.grid, q.grid, front.count)
    return q._replace(grid=grid, scale=torch.cat([scales, others], dim=-2))
