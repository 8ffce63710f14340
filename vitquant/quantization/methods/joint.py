"""Joint post-training quantization (Li, Karmann, Urfalioglu, arXiv 2602.18861).

All layers are optimized together, end to end, against the float model: scales, zero points,
channel-wise rescaling and the weights themselves. No labels are used.
"""

from torch import nn

from vitquant.quantization.methods.base import register
from vitquant.quantization.ptq.calibrate import calibrate_with_rescaling
from vitquant.quantization.ptq.context import PTQContext
from vitquant.quantization.training.joint import train


@register("joint", is_trained=True, supports_distributed=True, supports_resume=True)
def joint(context: PTQContext) -> nn.Module:
    """All layers trained together to match the float model's features and logits, no labels."""
    student = calibrate_with_rescaling(context)
    train(context, student)
    return student
