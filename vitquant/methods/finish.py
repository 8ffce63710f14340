"""Turn a model with learned quantizers into one of stored integers."""

import torch
from torch import Tensor, nn

from vitquant.checkpoint.rounding import round_float_remainder
from vitquant.checkpoint.schema import LayerRecord
from vitquant.layers.conv import LearnedConv2d
from vitquant.layers.interception import intercepted
from vitquant.layers.linear import LearnedLinear
from vitquant.layers.rescale import Rescale, Site
from vitquant.layers.weight import LearnedWeight


@torch.no_grad()
def finish(learned: nn.Module, reference: nn.Module) -> list[LayerRecord]:
    """Round and fold everything for good, in place; says what each layer became.

    Args:
        learned: a calibrated or trained model with learned quantizers.
        reference: the float model, for the signal-to-noise ratio of the weights.
    """
    _fold_into_norms(learned)
    records = []
    for name, module in list(learned.named_modules()):
        if isinstance(module, (LearnedLinear, LearnedConv2d)):
            original = reference.get_submodule(name).weight
            records.append(_record(name, module, original))
            learned.set_submodule(name, module.integer())
    for _, module in intercepted(learned):
        module.products = nn.ModuleList(product.integer() for product in module.products)
    round_float_remainder(learned)
    return records


def _fold_into_norms(learned: nn.Module) -> None:
    folded: set[int] = set()
    for module in list(learned.modules()):
        rescale = getattr(module, "rescale", None)
        if isinstance(rescale, Rescale) and rescale.site is Site.NORM and id(rescale) not in folded:
            folded.add(id(rescale))
            norm = learned.get_submodule(rescale.source)
            norm.weight.mul_(rescale.reciprocal())
            if getattr(norm, "bias", None) is not None:
                norm.bias.mul_(rescale.reciprocal())


def _record(name: str, module: LearnedWeight, original: Tensor) -> LayerRecord:
    rescaling = "none"
    if module.rescale is not None:
        site = module.rescale.site
        rescaling = "stored" if site is Site.STORED else f"folded into {module.rescale.source}"
    front = module.front
    noise = (module.effective_weight() - original).square().sum()
    sqnr = 10 * torch.log10(original.square().sum() / noise.clamp_min(1e-20))
    return LayerRecord(
        name=name,
        kind="conv2d" if isinstance(module, LearnedConv2d) else "linear",
        weight_bits=module.grid.bits,
        activation_bits=16 if module.input is None else int(module.input.grid.bits),
        shape=tuple(module.weight.shape),
        sqnr_db=round(float(sqnr), 2),
        rescaling=rescaling,
        shifted=getattr(module, "offset", None) is not None,
        prefix=front.count,
        prefix_bits=int((front.grid or module.input.grid).bits) if front.count else 0,
    )
