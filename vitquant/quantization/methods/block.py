"""Block-wise reconstruction (BRECQ, Li et al., arXiv 2102.05426, section 3.2).

One transformer block after the other is trained to give the float model's output of that block,
from the inputs that the quantized blocks before it give (QDrop, arXiv 2203.05740,
without its dropping). Start, trained parameters and learning rates are those of ``joint``, and so
is the budget: a step trains one block, so the steps of all blocks together cost what as many steps
of the whole model cost.
"""

from torch import nn

from vitquant.quantization.methods.base import register
from vitquant.quantization.ptq.calibrate import calibrate_with_rescaling
from vitquant.quantization.ptq.context import PTQContext
from vitquant.quantization.training.blockwise import reconstruct


@register("block", is_trained=True)
def block(context: PTQContext) -> nn.Module:
    """One block after the other trained to match the float model's features, no labels (BRECQ)."""
    student = calibrate_with_rescaling(context)
    reconstruct(context, student)
    return student
