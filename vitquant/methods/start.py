"""Where training starts from."""

from torch import nn

from vitquant.methods.assemble import add_rescaling, assemble, calibrate
from vitquant.methods.correction import correct
from vitquant.methods.job import Job
from vitquant.methods.rescaling import initialise, with_rescaled_values


def start(job: Job) -> nn.Module:
    """The job's model with learned quantizers, rescaling and scales as the search finds them.

    Where the settings say so, its layers are corrected too.
    """
    scheme = job.settings.scheme
    bits = scheme.layer_bits(job.reference, job.wiring)
    learned = assemble(job.reference, job.wiring, bits, scheme.bits, job.settings.prefix_bits)
    added = add_rescaling(learned, job.folds, job.wiring.functional)
    initialise(added, learned, job.samples)
    rescaled = job.sample(with_rescaled_values(job.reference, learned))
    calibrate(learned, job.samples, rescaled)
    if job.settings.start == "dfq":
        correct(job, learned)
    return learned
