"""RepQ-ViT (Li, Xiao, Yang, Gu, arXiv 2212.08254): reparameterised scales, no training.

Behind a normalisation, the scale and the zero point of each channel become one of each for the
tensor. The paper's other half, a quantizer on powers of sqrt(2) for the output of softmax, is
replaced with a uniform one: integer kernels multiply evenly spaced values.
"""

from torch import nn

from vitquant.quantization.methods.base import register
from vitquant.quantization.ptq.bit_assignment import layer_bits
from vitquant.quantization.ptq.calibrate import calibrate
from vitquant.quantization.ptq.context import PTQContext
from vitquant.quantization.ptq.prepare import prepare
from vitquant.quantization.transforms.reparameterization import (
    add_factors,
    reparameterizations,
    with_offsets,
)


@register("repq", is_trained=False)
def repq(context: PTQContext) -> nn.Module:
    """Channels behind a normalisation made alike, then scale search; no training (RepQ-ViT)."""
    assignment = context.settings.assignment
    bits = layer_bits(assignment, context.model.classifier_names, context.points)
    # Where the input stays float there is nothing to make alike.
    folds = [
        fold
        for fold in context.folds
        if fold.norm and all(bits[name].quantizes_activations for name in fold.consumers)
    ]
    found = list(reparameterizations(context.float_model, folds, context.samples))
    shifted = with_offsets(context.float_model, found)
    student = prepare(shifted, context.points, bits, assignment.bits, context.settings.prefix_bits)
    add_factors(student, found)
    calibrate(student, context.sample(shifted))
    return student
