"""Block-wise reconstruction (BRECQ, Li et al., arXiv 2102.05426, section 3.2).

One transformer block after the other is trained to give the float model's output of that block,
from inputs that the quantized blocks before it have already spoiled (QDrop, arXiv 2203.05740,
without its dropping). Start, trained parameters and learning rates are those of ``joint``, and so
is the budget: a step trains one block, so the steps of all blocks together cost what as many steps
of the whole model cost.
"""

from torch import nn

from vitquant.methods.job import Job
from vitquant.methods.reconstruction import reconstruct
from vitquant.methods.registry import register
from vitquant.methods.start import start


@register("block", trains=True)
def block(job: Job) -> nn.Module:
    """One block after the other trained to match the float model's features, no labels (BRECQ)."""
    learned = start(job)
    reconstruct(job, learned)
    return learned
