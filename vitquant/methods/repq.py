"""RepQ-ViT (Li, Xiao, Yang, Gu, arXiv 2212.08254): reparameterised scales, no training.

Behind a normalisation, the scale and the zero point of each channel become one of each for the
tensor. The paper's other half, a quantizer on powers of sqrt(2) for the output of softmax, is
replaced with a uniform one: integer kernels multiply evenly spaced values.
"""

from torch import nn

from vitquant.methods.assemble import assemble, calibrate
from vitquant.methods.job import Job
from vitquant.methods.registry import register
from vitquant.methods.reparameterise import add_factors, reparameterisations, with_offsets


@register("repq", trains=False)
def repq(job: Job) -> nn.Module:
    """Channels behind a normalisation made alike, then scale search; no training (RepQ-ViT)."""
    scheme = job.settings.scheme
    bits = scheme.layer_bits(job.reference, job.wiring)
    # Where the input stays float there is nothing to make alike.
    folds = [
        fold
        for fold in job.folds
        if fold.norm and all(bits[name].quantizes_activations for name in fold.consumers)
    ]
    found = list(reparameterisations(job.reference, folds, job.samples))
    shifted = with_offsets(job.reference, found)
    learned = assemble(shifted, job.wiring, bits, scheme.bits, job.settings.prefix_bits)
    add_factors(learned, found)
    calibrate(learned, job.sample(shifted))
    return learned
