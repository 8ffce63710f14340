"""The quantizer of one activation: a scale and a zero point, for the tensor or for parts of it."""

import torch
from torch import Tensor, nn

from vitquant.config.targets.base import Symmetry
from vitquant.core.torch_private import SinglePrecision
from vitquant.quantization.quantizers.affine import QParams
from vitquant.quantization.quantizers.grid import NO_PREFIX, Grid, PrefixFormat, PrefixGrids
from vitquant.quantization.quantizers.mse_search import (
    OutputFn,
    scale_with_headroom,
    search_per_head,
    search_per_tensor,
    search_prefix,
    search_symmetric,
)


class LearnableFakeQuantize(nn.Module):
    """A quantizer whose scale and zero point are trained (LSQ+).

    The scale is kept as its logarithm: it stays positive, and one learning rate suits tensors of
    every magnitude. The zero point is rounded, with a straight-through gradient.

    With ``heads``, each head of a tensor (..., heads, M, N) that is never negative has a scale of
    its own; the zero point is the lowest level. With ``prefix``, so has each of these rows of a
    tensor (..., M, N): those of class tokens and registers, which are unlike the patches' and which
    the classifier reads.

    Where ``symmetry`` holds, and on a signed grid, the zero point is the middle of the grid, and is
    not trained. As a signed integer it is 0.
    """

    trains_zero_point: Tensor

    def __init__(
        self,
        grid: Grid,
        heads: int = 0,
        prefix: PrefixFormat = NO_PREFIX,
        symmetry: Symmetry = Symmetry.NONE,
    ) -> None:
        super().__init__()
        self.grid = grid
        self.prefix = prefix
        self.heads = heads
        self.symmetry = symmetry
        self.log_scale = nn.Parameter(torch.zeros(_shape(heads)))
        self.log_prefix_scale: nn.Parameter | None = None
        if prefix.count:
            self.log_prefix_scale = nn.Parameter(torch.zeros(_prefix_shape(heads, prefix)))
        self.zero_point = nn.Parameter(torch.zeros(()))
        # A value that is never negative needs no zero point, and must not drift into having one:
        # integer kernels skip the correction term where it is zero.
        self.register_buffer("trains_zero_point", torch.tensor(True), persistent=False)

    @torch.no_grad()
    def calibrate(self, x: Tensor, output_fn: OutputFn) -> None:
        """Search scale and zero point on a sample ``x`` that enters the operation ``output_fn``.

        Prefix rows have those of the others then, until :meth:`calibrate_prefix`.
        """
        self._calibrate(x, output_fn)
        if self.log_prefix_scale is not None:
            self.log_prefix_scale.copy_(self.log_scale.expand_as(self.log_prefix_scale))

    @torch.no_grad()
    def calibrate_prefix(
        self, x: Tensor, output_fn: OutputFn, zero_point: int | None = None
    ) -> None:
        """Search the scales of the prefix rows.

        x: (..., P, N), these rows of a sample. zero_point: the level of zero among them; by
        default that of all rows.
        """
        if self.log_prefix_scale is None:
            raise ValueError("this quantizer has no prefix")
        q = self.prefix_qparams()
        if zero_point is not None:
            q = q._replace(zero_point=torch.full_like(q.zero_point, zero_point))
        self.log_prefix_scale.copy_(search_prefix(x, q, output_fn).log())

    def prefix_qparams(self) -> QParams:
        """For prefix rows alone, were they to cover the range of the others."""
        q = self.qparams()
        if self.prefix.grid is None:
            return q
        scale = q.scale * self.grid.levels / self.prefix.grid.levels
        return QParams(self.prefix.grid, scale, torch.zeros_like(q.zero_point))

    def _calibrate(self, x: Tensor, output_fn: OutputFn) -> None:
        if self.heads:
            self.log_scale.copy_(search_per_head(x, self.grid, output_fn).log())
            self.zero_point.fill_(self.grid.qmin)
            self.trains_zero_point.fill_(False)
            return
        negative = bool(x.min() < 0)
        if self.grid.signed or self.symmetry.holds(negative):
            if self.grid.signed:
                scale = scale_with_headroom(x, self.grid)
            else:
                scale = search_symmetric(x, self.grid, output_fn)
            self.log_scale.copy_(scale.log())
            self.zero_point.fill_(self.grid.middle)
            self.trains_zero_point.fill_(False)
            return
        scale, zero_point = search_per_tensor(x, self.grid, output_fn)
        self.log_scale.copy_(scale.log())
        self.zero_point.copy_(zero_point)
        self.trains_zero_point.fill_(negative)

    def calibrated_tensors(self) -> list[Tensor]:
        """What :meth:`calibrate` and :meth:`calibrate_prefix` set."""
        own = [] if self.log_prefix_scale is None else [self.log_prefix_scale]
        return [self.log_scale, self.zero_point, self.trains_zero_point, *own]

    def qparams(self, multiplier: Tensor | None = None, num_tokens: int | None = None) -> QParams:
        """For a tensor (..., num_tokens, N); without ``num_tokens``, for rows behind the prefix."""
        zero_point = self.zero_point.clamp(self.grid.qmin, self.grid.qmax)
        rounded = zero_point + (zero_point.round() - zero_point).detach()
        q = QParams(self.grid, self.log_scale.exp(), rounded, multiplier)
        if self.log_prefix_scale is None or num_tokens is None:
            return q
        scales = self.log_prefix_scale.exp()
        return _with_prefix(q, self.grid, self.prefix, scales, num_tokens)

    @torch.no_grad()
    def freeze(self) -> "FrozenQuantizer":
        """The quantizer that a checkpoint stores."""
        frozen = FrozenQuantizer(self.grid, self.heads, self.prefix)
        frozen.to(self.log_scale.device)
        q = self.qparams()
        frozen.scale.copy_(q.scale)
        frozen.zero_point.copy_(q.zero_point)
        if frozen.prefix_scale is not None and self.log_prefix_scale is not None:
            frozen.prefix_scale.copy_(self.log_prefix_scale.exp())
        return frozen


class FrozenQuantizer(SinglePrecision):
    """A quantizer as it is stored: float32 scales and a zero point of one unsigned byte.

    The scales stay float32 in a model of half precision, which could not hold their reciprocals.

    scale: (), or (heads, 1, 1). prefix_scale: those of the P prefix rows, (P, 1) or
    (heads, P, 1), or None.
    """

    scale: Tensor
    zero_point: Tensor
    prefix_scale: Tensor | None

    def __init__(self, grid: Grid, heads: int = 0, prefix: PrefixFormat = NO_PREFIX) -> None:
        super().__init__()
        self.grid = grid
        self.prefix = prefix
        self.heads = heads
        self.register_buffer("scale", torch.ones(_shape(heads)))
        self.register_buffer("zero_point", torch.zeros((), dtype=torch.uint8))
        own = torch.ones(_prefix_shape(heads, prefix)) if prefix.count else None
        self.register_buffer("prefix_scale", own)

    def qparams(self, multiplier: Tensor | None = None, num_tokens: int | None = None) -> QParams:
        """As :meth:`LearnableFakeQuantize.qparams`."""
        q = QParams(self.grid, self.scale, self.zero_point.to(self.scale.dtype), multiplier)
        if self.prefix_scale is None or num_tokens is None:
            return q
        return _with_prefix(q, self.grid, self.prefix, self.prefix_scale, num_tokens)


def _shape(heads: int) -> tuple[int, ...]:
    return (heads, 1, 1) if heads else ()


def _prefix_shape(heads: int, prefix: PrefixFormat) -> tuple[int, ...]:
    return (heads, prefix.count, 1) if heads else (prefix.count, 1)


def _with_prefix(
    q: QParams, others: Grid, prefix: PrefixFormat, scales: Tensor, num_tokens: int
) -> QParams:
    """With a scale for each row, (num_tokens, 1) or (heads, num_tokens, 1).

    others: the grid of the rows behind the prefix. scales: those of the prefix.
    """
    rest = q.scale.expand(*scales.shape[:-2], num_tokens - prefix.count, 1)
    grid = others if prefix.grid is None else PrefixGrids(prefix.grid, others, prefix.count)
    return q._replace(grid=grid, scale=torch.cat([scales, rest], dim=-2))
