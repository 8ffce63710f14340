"""Round to nearest at searched scales."""

from torch import nn

from vitquant.quantization.methods.base import register
from vitquant.quantization.ptq.calibrate import calibrate
from vitquant.quantization.ptq.context import PTQContext
from vitquant.quantization.ptq.prepare import prepare


@register("rtn", is_trained=False)
def rtn(context: PTQContext) -> nn.Module:
    """Scale search only, no training: the baseline, and enough at 8 bits."""
    scheme = context.settings.scheme
    bits = scheme.layer_bits(context.model.classifier_names, context.points)
    student = prepare(
        context.float_model, context.points, bits, scheme.bits, context.settings.prefix_bits
    )
    calibrate(student, context.samples)
    return student
