"""Joint post-training quantization (Li, Karmann, Urfalioglu, arXiv 2602.18861).

All layers are optimised together, end to end, against the float model: scales, zero points,
channel-wise rescaling and the weights themselves. No labels are used.
"""

from torch import nn

from vitquant.methods.job import Job
from vitquant.methods.registry import register
from vitquant.methods.start import start
from vitquant.methods.training import train


@register("joint", trains=True, divides=True, resumes=True)
def joint(job: Job) -> nn.Module:
    """All layers trained together to match the float model's features and logits, no labels."""
    learned = start(job)
    train(job, learned)
    return learned
