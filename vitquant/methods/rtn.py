"""Round to nearest at searched scales."""

from torch import nn

from vitquant.methods.assemble import assemble, calibrate
from vitquant.methods.job import Job
from vitquant.methods.registry import register


@register("rtn", trains=False)
def rtn(job: Job) -> nn.Module:
    """Scale search only, no training: the baseline, and enough at 8 bits."""
    scheme = job.settings.scheme
    bits = scheme.layer_bits(job.reference, job.wiring)
    learned = assemble(job.reference, job.wiring, bits, scheme.bits, job.settings.prefix_bits)
    calibrate(learned, job.samples)
    return learned
