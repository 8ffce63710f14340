"""Round to nearest at searched scales."""

from torch import nn

from vitquant.quantization.methods.base import register
from vitquant.quantization.ptq.bit_assignment import layer_bits
from vitquant.quantization.ptq.calibrate import calibrate
from vitquant.quantization.ptq.context import PTQContext
from vitquant.quantization.ptq.prepare import prepare


@register("rtn", is_trained=False)
def rtn(context: PTQContext) -> nn.Module:
    """Scale search only, no training: the baseline, and enough at 8 bits."""
    assignment = context.settings.assignment
    bits = layer_bits(assignment, context.model.classifier_names, context.points)
    student = prepare(
        context.float_model, context.points, bits, assignment.bits, context.settings.prefix_bits
    )
    calibrate(student, context.samples)
    return student
