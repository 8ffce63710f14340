"""What of each quantized activation its grid can hold."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vitquant.quantization.quantizers.affine import QParams, fake_quantize_forward
from vitquant.quantization.quantizers.grid import Grid, PrefixGrids
from vitquant.reports.measurements.subject import Subject
from vitquant.reports.measurements.tensors.taps import Entered
from vitquant.reports.sections.errors import Activation, ActivationHistogram, Activations

WORST = 6
"""How many are shown as histograms."""
_BINS = 64
# Values that are kept of each activation and batch for a histogram.
_KEPT = 1 << 15
# Values of each activation and batch that are looked at: those of the first images.
_LOOKED_AT = 1 << 21


@dataclass
class _Sums:
    """Of one activation. levels: (parts, levels) how often each occurs, of rows behind the
    prefix."""

    q: QParams
    values: int = 0
    clipped: int = 0
    signal: float = 0.0
    noise: float = 0.0
    levels: Tensor | None = None
    kept: list[Tensor] = field(default_factory=list)


class ActivationSums:
    """A listener of quantizers that adds up what it hears."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str], _Sums] = {}
        self._generator = torch.Generator().manual_seed(0)

    def __call__(self, entered: Entered) -> None:
        """Raises nothing; to be called in inference mode."""
        q = entered.q
        x = entered.x[: max(1, _LOOKED_AT // max(1, entered.x[:1].numel()))]
        sums = self._sums.setdefault((entered.name, entered.tensor), _Sums(q))
        rounded = fake_quantize_forward(x, q)
        # The grid ends half a step beyond its last level; sums of float32 are not exact.
        outside = (x - rounded).abs() > 0.5 * q.scale * (1 + 1e-2)
        sums.values += x.numel()
        sums.clipped += int(outside.sum())
        sums.signal += float(x.double().square().sum())
        sums.noise += float((x.double() - rounded.double()).square().sum())
        counted = _levels(rounded, q)
        sums.levels = counted if sums.levels is None else sums.levels + counted
        chosen = torch.randint(x.numel(), (_KEPT,), generator=self._generator)
        sums.kept.append(x.reshape(-1)[chosen.to(x.device)].float().cpu())

    def result(self, subject: Subject, images: int) -> Activations | None:
        """None where nothing was heard."""
        if not self._sums:
            return None
        rows = {key: _activation(subject, *key, sums) for key, sums in self._sums.items()}
        worst = sorted(rows, key=lambda key: rows[key].sqnr_db)[:WORST]
        histograms = [_histogram(rows[key], self._sums[key]) for key in worst]
        return Activations(images, tuple(rows.values()), tuple(histograms))


def _behind_prefix(q: QParams) -> tuple[int, Tensor]:
    """How many rows have scales of their own, and the scale of the others, (), or (H, 1, 1)."""
    if q.scale.dim() < 2 or q.scale.shape[-2] == 1:
        return 0, q.scale
    others = q.scale[..., -1:, :]
    return int((q.scale != others).any(-1).reshape(-1, q.scale.shape[-2]).any(0).sum()), others


def _grid(q: QParams) -> Grid:
    return q.grid.others if isinstance(q.grid, PrefixGrids) else q.grid


def _levels(rounded: Tensor, q: QParams) -> Tensor:
    """(parts, levels): how often each level occurs in each head that has a scale, behind the
    prefix."""
    prefix, scale = _behind_prefix(q)
    grid = _grid(q)
    heads = scale.shape[0] if scale.dim() == 3 else 1
    codes = (rounded[..., prefix:, :] if prefix else rounded) / scale
    codes = codes.round() + q.zero_point - grid.qmin
    if heads > 1:
        codes = codes + grid.levels * torch.arange(heads, device=codes.device).view(-1, 1, 1)
    codes = codes.nan_to_num(0.0).clamp(0, heads * grid.levels - 1)
    counts = torch.bincount(codes.flatten().long(), minlength=heads * grid.levels)
    return counts.view(heads, grid.levels).cpu()


def _activation(subject: Subject, name: str, tensor: str, sums: _Sums) -> Activation:
    used = 0.0 if sums.levels is None else float((sums.levels > 0).double().mean())
    return Activation(
        name=name,
        block=subject.block_of(name),
        tensor=tensor,
        bits=int(_grid(sums.q).bits),
        clipped=sums.clipped / max(1, sums.values),
        levels_used=used,
        sqnr_db=_decibels(sums.signal, sums.noise),
    )


def _decibels(signal: float, noise: float) -> float:
    if not math.isfinite(signal) or not math.isfinite(noise):
        return -math.inf
    if not noise:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


def _histogram(about: Activation, sums: _Sums) -> ActivationHistogram:
    prefix, scales = _behind_prefix(sums.q)
    grid, step = _grid(sums.q), float(scales.max())
    low, high = (float((end - sums.q.zero_point) * step) for end in (grid.qmin, grid.qmax))
    values = torch.cat(sums.kept)
    values = values[values.isfinite()]
    ends = [low, high, *(values.aminmax() if len(values) else ())]
    lowest, highest = float(min(ends)), float(max(ends))
    counts, edges = torch.histogram(values, _BINS, range=(lowest, highest))
    return ActivationHistogram(
        activation=about,
        edges=tuple(edges.tolist()),
        counts=tuple(int(count) for count in counts),
        grid_low=low,
        grid_high=high,
        step=step,
        parts=scales.numel() + prefix,
    )
