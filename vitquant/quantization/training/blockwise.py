"""Optimize the blocks of a quantized model one after the other against the float model's."""

import math
import random
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from vitquant.core.errors import UserError
from vitquant.quantization.layers.base import FakeQuantLayer
from vitquant.quantization.ptq.context import PTQContext
from vitquant.quantization.quantizers.modules import LearnableFakeQuantize
from vitquant.quantization.training.block_data import (
    BlockData,
    capture,
    check_blocks_replayable,
    features,
)
from vitquant.quantization.training.losses import relative_error
from vitquant.quantization.training.optimizer import (
    build_optimizer,
    check_finite,
    divergence_error,
    learning_rate_schedule,
)
from vitquant.quantization.training.precision import StepPrecision, choose_precision


def reconstruct(context: PTQContext, student: nn.Module) -> None:
    """Train the blocks of ``student`` in place, in order, each for the context's steps.

    The losses go to the context's history. What lies outside the blocks stays as it is.

    Held at a time are the inputs and the targets of one block for all images, in main memory
    (2 * images * values of the block's output * 2 bytes), and what training that block takes.

    Raises:
        UserError: there are no blocks, one is called in a way that cannot be replayed, or the
            settings ask for a precision that this machine does not have, or for no training.
        CheckFailedError: the loss, or a parameter, is no longer a finite number.
    """
    steps = context.settings.steps
    blocks = [b for b in context.points.blocks if _is_quantized(student.get_submodule(b))]
    if not blocks:
        raise UserError(
            "--method: block finds no transformer blocks to quantize; another method is accepted"
        )
    check_blocks_replayable(context)  # now, not after the blocks in front have been trained
    precision = choose_precision(
        context.settings, context.device, context.progress, context.model.parameters
    )
    context.progress.say(f"training in {precision}, {steps} steps for each of {len(blocks)} blocks")
    total = len(blocks) * steps
    ticks = context.progress.track(range(total), total, "block-wise reconstruction")
    with precision.compiled_quantizers(student):
        for name in blocks:
            _train(context, precision, student, name, ticks)
    next(ticks, None)  # closes the bar


def _train(
    context: PTQContext,
    precision: StepPrecision,
    student: nn.Module,
    name: str,
    ticks: Iterator[int],
) -> None:
    settings, module = context.settings, student.get_submodule(name)
    data = capture(context, precision, student, name)
    optimizer = build_optimizer(module, settings, name=name)
    schedule = learning_rate_schedule(optimizer, settings)
    order = _order(
        len(context.images), settings.steps * settings.batch_size, f"{settings.seed}/{name}"
    )
    chosen = torch.tensor(order).split(settings.batch_size)
    # The ticks come last: zip takes no more of them than there are steps.
    for step, (indices, _) in enumerate(zip(chosen, ticks, strict=False), 1):
        optimizer.zero_grad()
        loss = _backward(context, precision, module, data, indices)
        if not math.isfinite(loss):
            raise divergence_error(f"the loss is {loss} at step {step} of {name}", settings)
        optimizer.step()
        schedule.step()
        context.history.append({"step": step, "block": name, "loss": loss})
        context.progress.status(f"{name} loss {loss:.4f}")
    optimizer.zero_grad()  # frees the gradients
    check_finite(module, f"a parameter of {name}", settings)


def _is_quantized(block: nn.Module) -> bool:
    """Whether anything in a block is; all of it may be kept float."""
    return any(isinstance(m, FakeQuantLayer | LearnableFakeQuantize) for m in block.modules())


def _order(images: int, count: int, seed: str) -> list[int]:
    """``count`` images in shuffled rounds, so that each is seen equally often."""
    rng = random.Random(seed)
    order: list[int] = []
    while len(order) < count:
        order += rng.sample(range(images), images)
    return order[:count]


def _backward(
    context: PTQContext,
    precision: StepPrecision,
    module: nn.Module,
    data: BlockData,
    indices: Tensor,
) -> float:
    """Gradients of the loss on some images, accumulated over its parts; returns the loss."""
    total = 0.0
    for part in indices.chunk(context.settings.grad_accum_steps):
        inputs, target = (x[part].to(context.device).float() for x in (data.inputs, data.targets))
        with precision.autocast():
            output = features(module(inputs, *data.args, **data.kwargs))
            loss = relative_error(output, target) * (len(part) / len(indices))
        loss.backward()
        total += loss.item()
    return total
