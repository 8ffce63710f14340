"""Make the channels behind a normalisation alike, without changing what the model computes.

RepQ-ViT (arXiv 2212.08254, "Scale Reparameterization for LayerNorm Activations") starts from a
quantizer with a scale s and a zero point z for each channel, and moves what sets the channels apart
into the layers around: with r1 = s / mean(s) and r2 = z - mean(z), the normalisation computes
``(x + s * r2) / r1`` in place of x, and the Linears behind it take both back:

    W @ x + b  =  (W * r1) @ ((x + s * r2) / r1)  +  (b - W @ (s * r2))

Then one scale and one zero point suit all channels. The multiplication by r1 is the rescaling that
all methods share, ``layers/rescale.py``; the offset s * r2 is added to biases here.
"""

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitquant.quantization.graph.observe import ActivationSamples
from vitquant.quantization.layers.base import ChannelRescale, FoldTarget
from vitquant.quantization.transforms.folding import Fold

# The share of a channel's values that its range leaves out at either end.
_CLIPPED = 1e-3
# A constant or zero channel has no range to speak of: it must neither blow up nor vanish.
_LIMIT = 32.0


@dataclass(frozen=True)
class Reparameterization:
    """What makes the channels of a normalisation's output x alike: ``(x + offset) / factor``.

    fold: the normalisation and the Linears behind it. factor: r1, (C,), positive. offset: s * r2,
    (C,), or None where an offset cannot be taken back behind the normalisation.
    """

    fold: Fold
    factor: Tensor
    offset: Tensor | None


def reparameterizations(
    model: nn.Module, folds: Iterable[Fold], samples: ActivationSamples
) -> Iterator[Reparameterization]:
    """One for each of ``folds``, whose sources are normalisations of a float model."""
    for fold in folds:
        affected = (fold.source, *fold.consumers)
        biases = (getattr(model.get_submodule(name), "bias", None) for name in affected)
        shifts = fold.shift and all(bias is not None for bias in biases)
        rows = samples.layers[fold.consumers[0]].rows
        yield Reparameterization(fold, *_alike(rows, shifts))


def _alike(rows: Tensor, shifts: bool) -> tuple[Tensor, Tensor | None]:
    """Factor and offset (C,) from a sample (N, C) of the normalisation's output.

    The zero points are real numbers here, counted in ranges (0 for a channel that starts at zero, 1
    for one that ends there), so that the number of bits does not matter. Their mean is taken within
    0 and 1, where the one zero point of the tensor has to be.
    """
    quantiles = rows.new_tensor([_CLIPPED, 1 - _CLIPPED])
    low, high = rows.float().quantile(quantiles, dim=0)
    if not shifts:
        # The range is measured from zero, where a division leaves a channel.
        low, high = low.clamp_max(0), high.clamp_min(0)
    mean = (high - low).mean().clamp_min(1e-8)
    factor = ((high - low) / mean).clamp(1 / _LIMIT, _LIMIT)
    if not shifts:
        return factor, None
    ranges = factor * mean
    low = (low + high - ranges) / 2
    zero_point = (-low / ranges).clamp(0, 1).mean()
    return factor, -low - ranges * zero_point


@torch.no_grad()
def with_offsets(model: nn.Module, found: Iterable[Reparameterization]) -> nn.Module:
    """A copy of a float model whose normalisations add the offsets; its output is the same."""
    shifted = copy.deepcopy(model)
    for fold, offset in ((f.fold, f.offset) for f in found if f.offset is not None):
        shifted.get_submodule(fold.source).bias.add_(offset)
        for layer in map(shifted.get_submodule, fold.consumers):
            layer.bias.sub_(layer.weight @ offset)
    return shifted


@torch.no_grad()
def add_factors(student: nn.Module, found: Iterable[Reparameterization]) -> None:
    """Give the Linears of a model with student quantizers the factors as their rescaling."""
    for each in found:
        rescale = ChannelRescale(len(each.factor), FoldTarget.NORM, each.fold.source).to(
            each.factor.device
        )
        rescale.log.copy_(each.factor.log())
        for layer in map(student.get_submodule, each.fold.consumers):
            layer.rescale = rescale
