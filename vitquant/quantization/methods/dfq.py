"""DFQ-ViT (Tong, Yuan, Zhang, Liu, Hu, arXiv 2507.14481): activation correction, no training.

Scales are searched as in ``rtn``, or as in ``repq``, and then every Linear is corrected. The
paper's other half, the images, is ``vitquant synthesize --inversion``; either goes without the
other.
"""

from torch import nn

from vitquant.quantization.methods.base import register
from vitquant.quantization.methods.repq import repq
from vitquant.quantization.methods.rtn import rtn
from vitquant.quantization.ptq.context import PTQContext
from vitquant.quantization.ptq.correct import correct


@register("dfq", is_trained=False)
def dfq(context: PTQContext) -> nn.Module:
    """Scale search, then every layer corrected in closed form; no training (DFQ-ViT)."""
    student = repq(context) if context.settings.reparameterize else rtn(context)
    correct(context, student)
    return student
