"""Optimise the blocks of a quantized model one after the other against the float model's."""

import math
import random
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from vitquant.errors import UserError
from vitquant.methods.arithmetic import Arithmetic, choose
from vitquant.methods.capture import BlockData, capture, features, refuse_unrepeatable
from vitquant.methods.descent import adam, check_finite, diverged, set_rates
from vitquant.methods.distillation import relative_error
from vitquant.methods.job import Job


def reconstruct(job: Job, learned: nn.Module) -> None:
    """Train the blocks of ``learned`` in place, in order, each for the job's steps.

    The losses go to the job's history. What lies outside the blocks stays as it is.

    Held at a time are the inputs and the targets of one block for all images, in main memory
    (2 * images * values of the block's output * 2 bytes), and what training that block takes.

    Raises:
        UserError: there are no blocks, one is called in a way that cannot be repeated, or the
            settings ask for arithmetic that this machine does not have, or for no training.
        CheckFailedError: the loss, or a parameter, is no longer a finite number.
    """
    blocks, steps = job.wiring.blocks, job.settings.steps
    if not blocks:
        raise UserError(
            "--method: block finds no transformer blocks; joint, repq, rtn are accepted"
        )
    refuse_unrepeatable(job)  # now, not after the blocks in front have been trained
    arithmetic = choose(job.settings, job.device, job.progress, job.model.parameters)
    job.progress.say(f"training in {arithmetic}, {steps} steps for each of {len(blocks)} blocks")
    total = len(blocks) * steps
    ticks = job.progress.track(range(total), total, "block-wise reconstruction")
    with arithmetic.quantizers():
        for name in blocks:
            _train(job, arithmetic, learned, name, ticks)
    next(ticks, None)  # closes the bar


def _train(
    job: Job, arithmetic: Arithmetic, learned: nn.Module, name: str, ticks: Iterator[int]
) -> None:
    settings, module = job.settings, learned.get_submodule(name)
    data = capture(job, arithmetic, learned, name)
    optimizer = adam(module, settings)
    order = _order(len(job.images), settings.steps * settings.batch_size, f"{settings.seed}/{name}")
    chosen = torch.tensor(order).split(settings.batch_size)
    # The ticks come last: zip takes no more of them than there are steps.
    for step, (indices, _) in enumerate(zip(chosen, ticks, strict=False), 1):
        set_rates(optimizer, step, settings)
        optimizer.zero_grad()
        loss = _backward(job, arithmetic, module, data, indices)
        if not math.isfinite(loss):
            raise diverged(job, f"the loss is {loss} at step {step} of {name}")
        optimizer.step()
        job.history.append({"step": step, "block": name, "loss": loss})
        job.progress.status(f"{name} loss {loss:.4f}")
    optimizer.zero_grad()  # lets go of the gradients
    check_finite(job, module, f"a parameter of {name}")


def _order(images: int, count: int, seed: str) -> list[int]:
    """``count`` images in shuffled rounds, so that each is seen equally often."""
    draw = random.Random(seed)
    order: list[int] = []
    while len(order) < count:
        order += draw.sample(range(images), images)
    return order[:count]


def _backward(
    job: Job, arithmetic: Arithmetic, module: nn.Module, data: BlockData, indices: Tensor
) -> float:
    """Gradients of the loss on some images, added up over its parts; returns the loss."""
    total = 0.0
    for part in indices.chunk(job.settings.accumulate):
        inputs, target = (x[part].to(job.device).float() for x in (data.inputs, data.targets))
        with arithmetic.products():
            output = features(module(inputs, *data.args, **data.kwargs))
            loss = relative_error(output, target) * (len(part) / len(indices))
        loss.backward()
        total += loss.item()
    return total
