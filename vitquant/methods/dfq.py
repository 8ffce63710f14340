"""DFQ-ViT (Tong, Yuan, Zhang, Liu, Hu, arXiv 2507.14481): activation correction, no training.

Scales are searched as in ``rtn``, or as in ``repq``, and then every Linear is corrected. The
paper's other half, the images, is ``vitquant synthesize --inversion``; either goes without the
other.
"""

from torch import nn

from vitquant.methods.correction import correct
from vitquant.methods.job import Job
from vitquant.methods.registry import register
from vitquant.methods.repq import repq
from vitquant.methods.rtn import rtn


@register("dfq", trains=False)
def dfq(job: Job) -> nn.Module:
    """Scale search, then every layer corrected in closed form; no training (DFQ-ViT)."""
    learned = repq(job) if job.settings.reparameterise else rtn(job)
    correct(job, learned)
    return learned
