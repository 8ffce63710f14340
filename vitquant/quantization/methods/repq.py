"""RepQ-ViT (Li, Xiao, Yang, Gu, arXiv 2212.08254): reparameterized scales, no training.

Behind a normalization, the scale and the zero point of each channel become one of each for the
tensor. The paper's other half, a quantizer on powers of sqrt(2) for the output of softmax, is
replaced with a uniform one: integer kernels multiply evenly spaced values.
"""

from torch import nn

from vitquant.quantization.methods.base import register
from vitquant.quantization.ptq.calibrate import calibrate
from vitquant.quantization.ptq.context import PTQContext, find_folds, observe
from vitquant.quantization.ptq.prepare import prepare
from vitquant.quantization.transforms.reparameterization import (
    add_factors,
    reparameterizations,
    with_offsets,
)


@register("repq", is_trained=False)
def repq(context: PTQContext) -> nn.Module:
    """Channels behind a normalization made alike, then scale search; no training (RepQ-ViT)."""
    bits = context.bits.layers
    # Where the input stays float there is nothing to make alike.
    folds = [
        fold
        for fold in find_folds(context)
        if fold.norm and all(bits[name].quantizes_activations for name in fold.consumers)
    ]
    found = list(reparameterizations(context.float_model, folds, observe(context)))
    shifted = with_offsets(context.float_model, found)
    student = prepare(shifted, context.points, context.bits, context.settings)
    add_factors(student, found)
    calibrate(student, observe(context, shifted))
    return student
