"""Optimise the blocks of a quantized model one after the other against the float model's."""

import math
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vitquant.core.errors import UserError
from vitquant.data.loader import load_batches
from vitquant.quantization.ptq.context import PTQContext
from vitquant.quantization.training.losses import relative_error
from vitquant.quantization.training.optimizer import (
    build_optimizer,
    check_finite,
    divergence_error,
    set_learning_rates,
)
from vitquant.quantization.training.precision import StepPrecision, choose_precision


class BlockData(NamedTuple):
    """Rows of inputs and targets, (N, ...), one for each image, in main memory.

    They are of half precision where that can hold them. args, kwargs: what else the block is called
    with, the same for every image.
    """

    inputs: Tensor
    targets: Tensor
    args: tuple
    kwargs: dict[str, Any]


def features(output: Any) -> Tensor:
    """The tensor that a block hands on."""
    return output[0] if isinstance(output, tuple) else output


@torch.no_grad()
def check_blocks_replayable(context: PTQContext) -> None:
    """Raise a UserError if a block of the context's model cannot be called again on other images.

    It cannot if it takes more than one argument that depends on them.
    """
    for name in context.points.blocks:
        one, several = (_call(context.float_model, name, context.first_images[:n]) for n in (1, 2))
        _check_same_arguments(context.float_model, name, several, one)


@torch.no_grad()
def capture(
    context: PTQContext, precision: StepPrecision, student: nn.Module, name: str
) -> BlockData:
    """The block ``name`` of ``student`` as it is called on the calibration images, not augmented.

    Raises:
        UserError: an image cannot be read; or the block cannot be called again on other images, as
            in :func:`check_blocks_replayable`.
    """
    count = len(context.images)
    inputs, targets = _Rows(count), _Rows(count)
    loaded = load_batches(
        context.images, range(count), context.model.transform(), context.settings.batch_size
    )
    common: _Call | None = None
    for images in (images.to(context.device) for images, _ in loaded):
        with precision.autocast():
            # An argument with a row for each image shows by its shape where there is but one.
            common = common or _call(student, name, images[:1])
            call = _call(student, name, images)
            _check_same_arguments(student, name, call, common)
            inputs.add(call.x)
            targets.add(_output(context.float_model, name, images))
    return BlockData(inputs.stored, targets.stored, common.args, common.kwargs)


def reconstruct(context: PTQContext, student: nn.Module) -> None:
    """Train the blocks of ``student`` in place, in order, each for the context's steps.

    The losses go to the context's history. What lies outside the blocks stays as it is.

    Held at a time are the inputs and the targets of one block for all images, in main memory
    (2 * images * values of the block's output * 2 bytes), and what training that block takes.

    Raises:
        UserError: there are no blocks, one is called in a way that cannot be repeated, or the
            settings ask for precision that this machine does not have, or for no training.
        CheckFailedError: the loss, or a parameter, is no longer a finite number.
    """
    blocks, steps = context.points.blocks, context.settings.steps
    if not blocks:
        raise UserError(
            "--method: block finds no transformer blocks; joint, repq, rtn are accepted"
        )
    check_blocks_replayable(context)  # now, not after the blocks in front have been trained
    precision = choose_precision(
        context.settings, context.device, context.progress, context.model.parameters
    )
    context.progress.say(f"training in {precision}, {steps} steps for each of {len(blocks)} blocks")
    total = len(blocks) * steps
    ticks = context.progress.track(range(total), total, "block-wise reconstruction")
    with precision.compiled_quantizers():
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
    optimizer = build_optimizer(module, settings)
    order = _order(
        len(context.images), settings.steps * settings.batch_size, f"{settings.seed}/{name}"
    )
    chosen = torch.tensor(order).split(settings.batch_size)
    # The ticks come last: zip takes no more of them than there are steps.
    for step, (indices, _) in enumerate(zip(chosen, ticks, strict=False), 1):
        set_learning_rates(optimizer, step, settings)
        optimizer.zero_grad()
        loss = _backward(context, precision, module, data, indices)
        if not math.isfinite(loss):
            raise divergence_error(context, f"the loss is {loss} at step {step} of {name}")
        optimizer.step()
        context.history.append({"step": step, "block": name, "loss": loss})
        context.progress.status(f"{name} loss {loss:.4f}")
    optimizer.zero_grad()  # lets go of the gradients
    check_finite(context, module, f"a parameter of {name}")


def _order(images: int, count: int, seed: str) -> list[int]:
    """``count`` images in shuffled rounds, so that each is seen equally often."""
    draw = random.Random(seed)
    order: list[int] = []
    while len(order) < count:
        order += draw.sample(range(images), images)
    return order[:count]


def _backward(
    context: PTQContext,
    precision: StepPrecision,
    module: nn.Module,
    data: BlockData,
    indices: Tensor,
) -> float:
    """Gradients of the loss on some images, added up over its parts; returns the loss."""
    total = 0.0
    for part in indices.chunk(context.settings.grad_accum_steps):
        inputs, target = (x[part].to(context.device).float() for x in (data.inputs, data.targets))
        with precision.autocast():
            output = features(module(inputs, *data.args, **data.kwargs))
            loss = relative_error(output, target) * (len(part) / len(indices))
        loss.backward()
        total += loss.item()
    return total


class _Call(NamedTuple):
    images: int
    x: Tensor | None
    args: tuple
    kwargs: dict[str, Any]


class _ReachedError(Exception):
    """The block has been seen; what lies behind it need not run."""


def _call(model: nn.Module, name: str, images: Tensor) -> _Call:
    calls: list[_Call] = []

    def stop(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        x = args[0] if args and isinstance(args[0], Tensor) else None
        calls.append(_Call(len(images), x, args[1:], kwargs))
        raise _ReachedError

    handle = model.get_submodule(name).register_forward_pre_hook(stop, with_kwargs=True)
    _run_until_reached(model, images, handle)
    return calls[0]


def _output(model: nn.Module, name: str, images: Tensor) -> Tensor:
    outputs: list[Tensor] = []

    def stop(module: nn.Module, args: tuple, output: Any) -> None:
        outputs.append(features(output))
        raise _ReachedError

    handle = model.get_submodule(name).register_forward_hook(stop)
    _run_until_reached(model, images, handle)
    return outputs[0]


def _run_until_reached(
    model: nn.Module, images: Tensor, handle: torch.utils.hooks.RemovableHandle
) -> None:
    try:
        model(images)
    except _ReachedError:
        pass
    finally:
        handle.remove()


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.equal(a, b)
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    return a is b or bool(a == b)


def _check_same_arguments(model: nn.Module, name: str, call: _Call, other: _Call) -> None:
    by_image = call.x is not None and len(call.x) == call.images
    if not (by_image and _same((call.args, call.kwargs), (other.args, other.kwargs))):
        cls = type(model.get_submodule(name)).__name__
        raise UserError(
            f"--method: block cannot train {cls} ({name}), which takes more from the images than "
            f"one tensor with a row for each; joint, repq and rtn are accepted"
        )


class _Rows:
    """Collects a tensor with one row for each of ``count`` images."""

    def __init__(self, count: int) -> None:
        self.count, self.filled = count, 0
        self.stored = torch.empty(0, dtype=torch.float16)

    def add(self, rows: Tensor) -> None:
        if not self.filled:
            self.stored = self.stored.new_empty(self.count, *rows.shape[1:])
        if rows.abs().max() > torch.finfo(self.stored.dtype).max:
            self.stored = self.stored.float()
        self.stored[self.filled : self.filled + len(rows)] = rows
        self.filled += len(rows)
