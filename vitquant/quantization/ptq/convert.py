"""Turn a fake-quantized model into one of stored integers."""

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from vitquant.quantization.layers.base import (
    ChannelRescale,
    FakeQuantLayer,
    FoldTarget,
    is_float_remainder,
)
from vitquant.quantization.layers.conv import FakeQuantConv2d
from vitquant.quantization.layers.interception import intercepted, set_matmuls
from vitquant.quantization.layers.linear import FakeQuantLinear


class ConvertedLayer(NamedTuple):
    """What a converted layer does not say about itself.

    sqnr_db: signal-to-noise ratio of the quantized weight against the float one, in decibels.
    rescaling: "none", "stored", or "folded into <module>".
    """

    name: str
    sqnr_db: float
    rescaling: str


@torch.no_grad()
def convert(student: nn.Module, float_model: nn.Module) -> list[ConvertedLayer]:
    """Round and fold everything for good, in place.

    Args:
        student: a calibrated or trained model with fake quantizers.
        float_model: for the signal-to-noise ratio of the weights.

    Returns a record of each layer, in the order of the modules.
    """
    _fold_into_norms(student)
    records = []
    for name, module in list(student.named_modules()):
        if isinstance(module, (FakeQuantLinear, FakeQuantConv2d)):
            original = float_model.get_submodule(name).weight
            records.append(_record(name, module, cast(Tensor, original)))
            student.set_submodule(name, module.convert())
    for _, module, matmuls in list(intercepted(student)):
        set_matmuls(module, [matmul.convert() for matmul in matmuls])
    round_float_remainder(student)
    return records


def _fold_into_norms(student: nn.Module) -> None:
    folded: set[int] = set()
    for module in list(student.modules()):
        rescale = getattr(module, "rescale", None)
        if (
            isinstance(rescale, ChannelRescale)
            and rescale.fold_target is FoldTarget.NORM
            and id(rescale) not in folded
        ):
            folded.add(id(rescale))
            norm: Any = student.get_submodule(rescale.source)
            norm.weight.mul_(rescale.reciprocal())
            if getattr(norm, "bias", None) is not None:
                norm.bias.mul_(rescale.reciprocal())


def _record(name: str, module: FakeQuantLayer, original: Tensor) -> ConvertedLayer:
    rescaling = "none"
    if module.rescale is not None:
        target, source = module.rescale.fold_target, module.rescale.source
        rescaling = "stored" if target is FoldTarget.NONE else f"folded into {source}"
    noise = (module.effective_weight() - original).square().sum()
    sqnr = 10 * torch.log10(original.square().sum() / noise.clamp_min(1e-20))
    return ConvertedLayer(name, round(float(sqnr), 2), rescaling)


@torch.no_grad()
def round_float_remainder(module: nn.Module) -> None:
    """Round what stays float to the values that the checkpoint holds, in place."""
    for name, tensor in module.state_dict().items():
        if is_float_remainder(name, tensor):
            tensor.copy_(tensor.half())
