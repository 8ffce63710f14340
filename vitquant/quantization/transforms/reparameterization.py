"""Make the channels behind a normalization alike, without changing what the model computes.

RepQ-ViT (arXiv 2212.08254, "Scale Reparameterization for LayerNorm Activations") starts from a
quantizer with a scale s and a zero point z for each channel, and moves what sets the channels apart
into the layers around: with r1 = s / mean(s) and r2 = z - mean(z), the normalization computes
``(x + s * r2) / r1`` in place of x, and the Linears behind it take both back:

    W @ x + b  =  (W * r1) @ ((x + s * r2) / r1)  +  (b - W @ (s * r2))

Then one scale and one zero point suit all channels. The multiplication by r1 is the rescaling that
all methods share, ``ChannelRescale``; the offset s * r2 is added to biases here.
"""

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vitquant.core.modules import submodule
from vitquant.quantization.graph.observe import ActivationSamples
from vitquant.quantization.layers.base import ChannelRescale, FoldTarget
from vitquant.quantization.layers.linear import FakeQuantLinear
from vitquant.quantization.transforms.folding import Fold

# The fraction of a channel's values that its range leaves out at either end.
_CLIPPED = 1e-3
# A constant or zero channel has no range to speak of: it must neither blow up nor vanish.
_LIMIT = 32.0


@dataclass(frozen=True)
class Reparameterization:
    """What makes the channels of a normalization's output x alike: ``(x + offset) / factor``.

    fold: the normalization and the Linears behind it. factor: r1, (C,), positive. offset: s * r2,
    (C,), or None where an offset cannot be taken back behind the normalization.
    """

    fold: Fold
    factor: Tensor
    offset: Tensor | None


def reparameterizations(
    model: nn.Module, folds: Iterable[Fold], samples: ActivationSamples
) -> Iterator[Reparameterization]:
    """One for each of ``folds``, whose sources are normalizations of a float model."""
    for fold in folds:
        affected = (fold.source, *fold.consumers)
        biases = (getattr(model.get_submodule(name), "bias", None) for name in affected)
        shifts = fold.shift and all(bias is not None for bias in biases)
        rows = samples.layers[fold.consumers[0]].rows
        yield Reparameterization(fold, *_alike(rows, shifts))


def _alike(rows: Tensor, shifts: bool) -> tuple[Tensor, Tensor | None]:
    """Factor and offset (C,) from a sample (N, C) of the normalization's output.

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
    """A copy of a float model whose normalizations add the offsets; its output is the same."""
    shifted = copy.deepcopy(model)
    for fold, offset in ((f.fold, f.offset) for f in found if f.offset is not None):
        norm: Any = shifted.get_submodule(fold.source)
        norm.bias.add_(offset)
        for layer in (submodule(shifted, name, nn.Linear) for name in fold.consumers):
            layer.bias.sub_(layer.weight @ offset)
    return shifted


@torch.no_grad()
def add_factors(student: nn.Module, found: Iterable[Reparameterization]) -> None:
    """Give the Linears of a fake-quantized model the factors as their rescaling."""
    for each in found:
        rescale = ChannelRescale(len(each.factor), FoldTarget.NORM, each.fold.source).to(
            each.factor.device
        )
        rescale.log.copy_(each.factor.log())
        for name in each.fold.consumers:
            submodule(student, name, FakeQuantLinear).rescale = rescale
