"""Round to nearest at searched scales."""

from torch import nn

from vitquant.quantization.methods.base import register
from vitquant.quantization.ptq.calibrate import calibrate
from vitquant.quantization.ptq.context import PTQContext, observe
from vitquant.quantization.ptq.prepare import prepare


@register("rtn", is_trained=False)
def rtn(context: PTQContext) -> nn.Module:
    """Scale search only, no training: the baseline, and enough at 8 bits."""
    student = prepare(context.float_model, context.points, context.bits, context.settings)
    calibrate(student, observe(context))
    return student
