"""Where channel-wise rescaling starts from (RepQ-ViT, section 3; SmoothQuant, section 4)."""

import copy
from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from vitquant.core.distributed import Task, run_sharded
from vitquant.core.modules import submodule
from vitquant.quantization.graph.observe import ActivationSamples, Sample
from vitquant.quantization.layers.base import ChannelRescale, FoldTarget
from vitquant.quantization.layers.linear import FakeQuantLinear
from vitquant.quantization.quantizers import per_channel
from vitquant.quantization.quantizers.affine import QParams, fake_quantize_forward
from vitquant.quantization.quantizers.modules import LearnableFakeQuantize
from vitquant.quantization.quantizers.mse_search import search_per_channel, search_per_tensor

# Powers of the channels' ranges: 0 leaves the input alone, 1 makes all channels equally wide.
_POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
# A constant or zero channel has no range to speak of: it must neither blow up nor vanish.
_LIMIT = 32.0
_ROWS = 512


@torch.no_grad()
def initialize(
    rescalings: list[tuple[ChannelRescale, tuple[str, ...]]],
    student: nn.Module,
    samples: ActivationSamples,
) -> None:
    """Set each rescaling to the power of its input's channel ranges that hurts its layers least.

    The error is that of the layers' outputs with both operands quantized, so a rescaling that
    widens the weights more than it narrows the input is not chosen.
    """
    tasks = []
    for rescale, names in rescalings:
        layers = [submodule(student, name, FakeQuantLinear) for name in names]
        run = partial(_choose, rescale, layers, samples.layers[names[0]])
        tasks.append(Task(run, [rescale.log]))
    run_sharded(tasks)


def _choose(rescale: ChannelRescale, layers: Sequence[FakeQuantLinear], sample: Sample) -> None:
    ranges = _relative(sample.channel_max)
    candidates = [ranges.pow(power) for power in _POWERS]
    errors = [sum(_error(layer, sample.rows, r) for layer in layers) for r in candidates]
    rescale.log.copy_(candidates[errors.index(min(errors))].log())


@torch.no_grad()
def with_rescaled_values(float_model: nn.Module, student: nn.Module) -> nn.Module:
    """A copy of the float model that computes the values of its attentions divided by r.

    Its output is the float model's: the layers behind multiply by r. The operands of the matmul
    with the values are what the quantized model will see.
    """
    model = copy.deepcopy(float_model)
    for name, module in student.named_modules():
        if not isinstance(module, FakeQuantLinear):
            continue
        layer = submodule(model, name, nn.Linear)
        if module.consumer is not None:
            multiplier = module.output_multiplier()
            layer.weight.mul_(multiplier[:, None])
            if layer.bias is not None:
                layer.bias.mul_(multiplier)
        if module.rescale is not None and module.rescale.fold_target is FoldTarget.LINEAR:
            layer.weight.mul_(module.rescale.factor())
    return model


def _relative(channel_max: Tensor) -> Tensor:
    """(C,): ranges relative to the median channel's, within bounds."""
    median = channel_max.median().clamp_min(1e-8)
    return (channel_max / median).clamp(1 / _LIMIT, _LIMIT)


def _error(layer: FakeQuantLinear, rows: Tensor, r: Tensor) -> float:
    """Mean squared error of a Linear's output under rescaling by ``r``, on some of ``rows``."""
    grid = cast(LearnableFakeQuantize, layer.input).grid
    q = QParams(grid, *search_per_tensor(rows / r, grid, candidates=20))
    weight = layer.weight * r
    scale = search_per_channel(weight, layer.grid, 20)
    quantized = per_channel.codes(weight, scale, layer.grid) * scale[:, None]
    rows = rows[:_ROWS]
    exact = rows @ layer.weight.mT
    return (fake_quantize_forward(rows / r, q) @ quantized.mT - exact).square().mean().item()
