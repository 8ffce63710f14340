"""Set scales and zero points by search: the whole of some methods, the start of others."""

from collections.abc import Iterator
from functools import partial
from typing import cast

from torch import Tensor, nn

from vitquant.core.distributed import Task, run_sharded
from vitquant.quantization.graph.observe import ActivationSamples
from vitquant.quantization.layers.attention import QuantizedMatmul
from vitquant.quantization.layers.base import FakeQuantLayer
from vitquant.quantization.layers.interception import intercepted
from vitquant.quantization.ptq.context import PTQContext, find_folds, observe
from vitquant.quantization.ptq.correct import correct
from vitquant.quantization.ptq.prepare import add_rescaling, prepare
from vitquant.quantization.quantizers.modules import LearnableFakeQuantize
from vitquant.quantization.transforms.rescaling import initialize, with_rescaled_values


def calibrate_with_rescaling(context: PTQContext) -> nn.Module:
    """The float model with fake quantizers, and with scales and rescaling as the search finds them.

    Where the settings say so, its layers are corrected too. All processes call it together.
    """
    student = prepare(context.float_model, context.points, context.bits, context.settings)
    stored = context.settings.stored_rescaling
    added = add_rescaling(student, find_folds(context), context.points.functional, stored=stored)
    samples = observe(context)
    initialize(added, student, samples)
    rescaled = observe(context, with_rescaled_values(context.float_model, student))
    calibrate(student, samples, rescaled)
    if context.settings.start == "dfq":
        correct(context, student)
    return student


def calibrate(
    student: nn.Module, samples: ActivationSamples, rescaled: ActivationSamples | None = None
) -> None:
    """Search every scale and zero point, at the rescaling as it now is. Processes divide the work.

    Args:
        samples: of the float model's activations.
        rescaled: of the float model with the rescaling of its values folded in, where there is any;
            the operands of the matmuls are taken from it.
    """
    searches: list[Task] = []
    for name, module in student.named_modules():
        if isinstance(module, FakeQuantLayer):
            sample = samples.layers[name]
            run = partial(module.calibrate, sample.rows, sample.prefix_rows)
            searches.append(Task(run, module.calibrated_tensors()))
    operands = (rescaled or samples).matmuls
    for name, _, matmuls in intercepted(student):
        for index, matmul in enumerate(matmuls):
            searches += matmul_searches(matmul, *operands[name, index])
    run_sharded(searches)


def matmul_searches(matmul: QuantizedMatmul, left: Tensor, right: Tensor) -> Iterator[Task]:
    """What sets the scales of both operands, on samples of them."""
    a, b = cast(LearnableFakeQuantize, matmul.left), cast(LearnableFakeQuantize, matmul.right)
    yield Task(partial(_calibrate_left, a, left, right), a.calibrated_tensors())
    yield Task(partial(b.calibrate, right, lambda d: left @ d), b.calibrated_tensors())


def _calibrate_left(quantizer: LearnableFakeQuantize, left: Tensor, right: Tensor) -> None:
    quantizer.calibrate(left, lambda difference: difference @ right)
    if quantizer.prefix.count:
        prefix_rows = left[..., : quantizer.prefix.count, :]
        quantizer.calibrate_prefix(prefix_rows, lambda difference: difference @ right)
