"""Where training starts from."""

from functools import partial

from torch import Tensor, nn

from vitquant.core.distributed import Task, run_sharded
from vitquant.quantization.graph.observe import ActivationSamples
from vitquant.quantization.layers.base import FakeQuantLayer
from vitquant.quantization.layers.linear import FakeQuantLinear
from vitquant.quantization.ptq.bit_assignment import layer_bits
from vitquant.quantization.ptq.context import PTQContext
from vitquant.quantization.ptq.correct import correct
from vitquant.quantization.ptq.prepare import add_rescaling, prepare
from vitquant.quantization.quantizers.modules import LearnableFakeQuantize
from vitquant.quantization.transforms.rescaling import initialize, with_rescaled_values


def calibrate_with_rescaling(context: PTQContext) -> nn.Module:
    """The context's model with student quantizers, rescaling and scales as the search finds them.

    Where the settings say so, its layers are corrected too.
    """
    assignment = context.settings.assignment
    bits = layer_bits(assignment, context.model.classifier_names, context.points)
    student = prepare(
        context.float_model, context.points, bits, assignment.bits, context.settings.prefix_bits
    )
    added = add_rescaling(student, context.folds, context.points.functional)
    initialize(added, student, context.samples)
    rescaled = context.sample(with_rescaled_values(context.float_model, student))
    calibrate(student, context.samples, rescaled)
    if context.settings.start == "dfq":
        correct(context, student)
    return student


def calibrate(
    student: nn.Module, samples: ActivationSamples, rescaled: ActivationSamples | None = None
) -> None:
    """Search every scale and zero point, at the rescaling as it now is.

    Args:
        samples: of the float model's activations.
        rescaled: of the float model with the rescaling of its values folded in, where there is any;
            the operands of the products are taken from it.
    """
    searches = []
    for name, module in student.named_modules():
        if isinstance(module, FakeQuantLayer):
            sample = samples.layers[name]
            prefix_rows = [sample.prefix_rows] if isinstance(module, FakeQuantLinear) else []
            run = partial(module.calibrate, sample.rows, *prefix_rows)
            searches.append(Task(run, module.calibrated_tensors()))
    for (name, index), (left, right) in (rescaled or samples).products.items():
        products = getattr(student.get_submodule(name), "products", ())
        if len(products) > index:
            product = products[index]
            run = partial(_calibrate_left, product.left, left, right)
            searches.append(Task(run, product.left.calibrated_tensors()))
            run = partial(product.right.calibrate, right, lambda d, left=left: left @ d)
            searches.append(Task(run, product.right.calibrated_tensors()))
    run_sharded(searches)


def _calibrate_left(quantizer: LearnableFakeQuantize, left: Tensor, right: Tensor) -> None:
    quantizer.calibrate(left, lambda difference: difference @ right)
    if quantizer.prefix.count:
        prefix_rows = left[..., : quantizer.prefix.count, :]
        quantizer.calibrate_prefix(prefix_rows, lambda difference: difference @ right)
