"""Joint post-training quantization (Li, Karmann, Urfalioglu, arXiv 2602.18861).

All layers are optimised together, end to end, against the float model: scales, zero points,
channel-wise rescaling and the weights themselves. No labels are used.
"""

from torch import nn

from vitquant.methods.assemble import add_rescaling, assemble, calibrate
from vitquant.methods.job import Job
from vitquant.methods.registry import register
from vitquant.methods.rescaling import initialise, with_rescaled_values
from vitquant.methods.training import train


@register("joint", trains=True)
def joint(job: Job) -> nn.Module:
    """All layers trained together to match the float model's features and logits, no labels."""
    scheme = job.settings.scheme
    bits = scheme.layer_bits(job.reference, job.wiring)
    learned = assemble(job.reference, job.wiring, bits, scheme.bits)
    initialise(add_rescaling(learned, job.folds), learned, job.samples)
    rescaled = job.sample(with_rescaled_values(job.reference, learned))
    calibrate(learned, job.samples, rescaled)
    train(job, learned)
    return learned
