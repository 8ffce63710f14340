"""Scale search: the clipping that gives the least mean squared error (RepQ-ViT, AdaLog)."""

from collections.abc import Callable

import torch
from torch import Tensor

from vitquant.quantization.quantizers import per_channel
from vitquant.quantization.quantizers.affine import QParams, fake_quantize_forward
from vitquant.quantization.quantizers.grid import Grid

OutputFn = Callable[[Tensor], Tensor]

_TINY = 1e-8


def search_per_channel(weight: Tensor, grid: Grid, candidates: int = 80) -> Tensor:
    """Scales (O,) for a weight (O, ...), one search for each output channel.

    Candidates are equally spaced fractions of the scale that clips nothing. A channel of zeros gets
    a tiny positive scale.
    """
    flat = weight.detach().flatten(1)
    widest = (flat.abs().amax(1) / max(1, grid.qmax)).clamp_min(_TINY)
    best_error = torch.full_like(widest, torch.inf)
    best = widest.clone()
    for fraction in torch.linspace(1.0, 0.15, candidates).tolist():
        scale = widest * fraction
        value = per_channel.codes(flat, scale, grid) * scale[:, None]
        error = (value - flat).square().sum(1)
        better = error < best_error
        best_error = torch.where(better, error, best_error)
        best = torch.where(better, scale, best)
    return best


def search_per_tensor(
    x: Tensor, grid: Grid, output_fn: OutputFn | None = None, candidates: int = 48
) -> tuple[Tensor, Tensor]:
    """Scale and integer zero point, both (), for a sample ``x`` of an activation.

    What is minimized is the squared error after ``output_fn``, the linear operation that
    ``x`` enters (identity by default). For the output of softmax that matters most: its many small
    values hardly count one by one, but a matmul with the values adds them up.

    First both ends of the range shrink together, in geometric steps, then each end alone around
    the best. Values that are never negative get the zero point ``qmin``.
    """
    low, high = x.min().clamp_max(0.0).item(), x.max().clamp_min(0.0).item()
    if high - low < _TINY:
        widest = max(abs(low), abs(high), _TINY)
        return x.new_tensor(widest / grid.levels), x.new_tensor(float(grid.qmin))

    def error(low_fraction: float, high_fraction: float) -> float:
        q = _affine(x, low * low_fraction, high * high_fraction, grid)
        return _squared_errors(x, q, output_fn).mean().item()

    fractions = torch.logspace(0.0, -2.0, candidates).tolist()
    best = min(fractions, key=lambda f: error(f, f))
    ends = [best, best]
    for _ in range(2):
        for end in (0, 1) if low < 0 else (1,):
            around = [ends[end] * k / 10 for k in range(6, 16)]
            pairs = [(f, ends[1]) if end == 0 else (ends[0], f) for f in around]
            ends[end] = min(pairs, key=lambda pair: error(*pair))[end]
    q = _affine(x, low * ends[0], high * ends[1], grid)
    return q.scale, q.zero_point


def search_symmetric(
    x: Tensor, grid: Grid, output_fn: OutputFn | None = None, candidates: int = 48
) -> Tensor:
    """Scale () for a sample ``x`` of an activation whose zero point is the middle of the grid.

    What is minimized is the error after ``output_fn``, as in :func:`search_per_tensor`; scales are
    fractions of the one that clips nothing, in geometric steps, then around the best.
    """
    widest = max(x.abs().max().item() / max(1, grid.qmax - grid.middle), _TINY)
    zero_point = x.new_tensor(float(grid.middle))

    def error(scale: float) -> float:
        q = QParams(grid, x.new_tensor(scale), zero_point)
        return _squared_errors(x, q, output_fn).mean().item()

    coarse = [widest * f for f in torch.logspace(0.0, -2.0, candidates).tolist()]
    middle = min(coarse, key=error)
    return x.new_tensor(min((middle * k / 20 for k in range(15, 27)), key=error))


def scale_with_headroom(x: Tensor, grid: Grid) -> Tensor:
    """Scale () at which a sample ``x`` takes up half of a signed grid.

    Of 16 bits, one more or less is nothing to rounding; what costs is values of other images that
    lie outside the sample's range, and would be clipped.
    """
    return (2 * x.abs().max() / grid.qmax).clamp_min(_TINY)


def search_per_head(
    x: Tensor, grid: Grid, output_fn: OutputFn | None = None, candidates: int = 48
) -> Tensor:
    """Scales (H, 1, 1) for a sample ``x`` (B, H, M, N) that is never negative, one for each head.

    What is minimized is each head's error after ``output_fn``, as in :func:`search_per_tensor`; the
    zero point is ``qmin``.
    """
    zero_point = x.new_tensor(float(grid.qmin))
    widest = (x.amax((0, 2, 3)).view(-1, 1, 1) / (grid.levels - 1)).clamp_min(_TINY)
    best, least = widest, torch.full_like(widest, torch.inf)
    for fractions in (torch.logspace(0.0, -2.0, candidates), torch.arange(6, 16) / 10):
        middle = best
        for scale in (middle * fraction for fraction in fractions.tolist()):
            error = _squared_errors(x, QParams(grid, scale, zero_point), output_fn)
            error = error.mean((0, 2, 3)).view(-1, 1, 1)
            best, least = torch.where(error < least, scale, best), torch.minimum(error, least)
    return best


def search_prefix(
    x: Tensor, q: QParams, output_fn: OutputFn | None = None, candidates: int = 48
) -> Tensor:
    """Scales (P, 1), or (H, P, 1) where ``q`` has one for each head, for the rows of ``x``.

    What is minimized is each row's error after ``output_fn``, as in :func:`search_per_tensor`, at
    the zero point of ``q`` and at scales from a thirtieth of its to four times as large.

    Args:
        x: (B, P, N) or (B, H, P, N), a sample of the same rows of each image.
        q: how other rows are quantized; without a multiplier.
    """
    shape = (*q.scale.shape[:-2], x.shape[-2], 1)
    best = q.scale.expand(shape)
    least = torch.full_like(best, torch.inf)
    for factor in torch.logspace(-1.5, 0.6, candidates).tolist():
        scale = (q.scale * factor).expand(shape)
        error = _squared_errors(x, q._replace(scale=scale), output_fn)
        error = error.mean(-1, keepdim=True).sum_to_size(shape)
        best, least = torch.where(error < least, scale, best), torch.minimum(error, least)
    return best


def _squared_errors(x: Tensor, q: QParams, output_fn: OutputFn | None) -> Tensor:
    """Of each element of what ``output_fn`` makes of ``x``."""
    difference = fake_quantize_forward(x, q).sub_(x)
    return (difference if output_fn is None else output_fn(difference)).square()


def _affine(like: Tensor, low: float, high: float, grid: Grid) -> QParams:
    scale = max((high - low) / (grid.levels - 1), _TINY)
    zero_point = min(max(grid.qmin - round(low / scale), grid.qmin), grid.qmax)
    return QParams(grid, like.new_tensor(scale), like.new_tensor(float(zero_point)))
