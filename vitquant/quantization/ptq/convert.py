"""Turn a model with student quantizers into one of stored integers."""

import torch
from torch import Tensor, nn

from vitquant.checkpoint.header import LayerRecord
from vitquant.quantization.layers.base import (
    ChannelRescale,
    FakeQuantLayer,
    FoldTarget,
    is_float_remainder,
)
from vitquant.quantization.layers.conv import FakeQuantConv2d
from vitquant.quantization.layers.interception import intercepted
from vitquant.quantization.layers.linear import FakeQuantLinear


@torch.no_grad()
def convert(student: nn.Module, reference: nn.Module) -> list[LayerRecord]:
    """Round and fold everything for good, in place; says what each layer became.

    Args:
        student: a calibrated or trained model with student quantizers.
        reference: the float model, for the signal-to-noise ratio of the weights.
    """
    _fold_into_norms(student)
    records = []
    for name, module in list(student.named_modules()):
        if isinstance(module, (FakeQuantLinear, FakeQuantConv2d)):
            original = reference.get_submodule(name).weight
            records.append(_record(name, module, original))
            student.set_submodule(name, module.convert())
    for _, module in intercepted(student):
        module.products = nn.ModuleList(product.convert() for product in module.products)
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
            norm = student.get_submodule(rescale.source)
            norm.weight.mul_(rescale.reciprocal())
            if getattr(norm, "bias", None) is not None:
                norm.bias.mul_(rescale.reciprocal())


def _record(name: str, module: FakeQuantLayer, original: Tensor) -> LayerRecord:
    rescaling = "none"
    if module.rescale is not None:
        site = module.rescale.fold_target
        rescaling = "stored" if site is FoldTarget.NONE else f"folded into {module.rescale.source}"
    prefix = module.prefix
    noise = (module.effective_weight() - original).square().sum()
    sqnr = 10 * torch.log10(original.square().sum() / noise.clamp_min(1e-20))
    return LayerRecord(
        name=name,
        kind="conv2d" if isinstance(module, FakeQuantConv2d) else "linear",
        weight_bits=module.grid.bits,
        activation_bits=16 if module.input is None else int(module.input.grid.bits),
        shape=tuple(module.weight.shape),
        sqnr_db=round(float(sqnr), 2),
        rescaling=rescaling,
        shifted=getattr(module, "channel_shift", None) is not None,
        prefix=prefix.count,
        prefix_bits=int((prefix.grid or module.input.grid).bits) if prefix.count else 0,
    )


@torch.no_grad()
def round_float_remainder(module: nn.Module) -> None:
    """Round what stays float to the values that the checkpoint holds, in place."""
    for name, tensor in module.state_dict().items():
        if is_float_remainder(name, tensor):
            tensor.copy_(tensor.half())
