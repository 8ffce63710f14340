"""Optimise all layers of a quantized model together against the float model."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from vitquant import parallel
from vitquant.errors import UserError
from vitquant.methods.arithmetic import Arithmetic, choose
from vitquant.methods.descent import adam, check_finite, diverged, set_rates
from vitquant.methods.distillation import Run, feature_loss, logit_loss, watched
from vitquant.methods.forcing import Guide, share
from vitquant.methods.job import Job, Key
from vitquant.methods.teacher import Teacher


def train(job: Job, learned: nn.Module) -> None:
    """Train ``learned`` in place for the job's steps; its losses go to the job's history.

    A job with a saved state goes on from there. Several processes divide each batch between them.

    Raises:
        UserError: the settings ask for arithmetic that this machine does not have, or the saved
            state cannot be used.
        CheckFailedError: the loss, or a parameter, is no longer a finite number.
    """
    settings = job.settings
    arithmetic = choose(settings, job.device, job.progress, job.model.parameters)
    job.progress.say(f"training in {arithmetic}")
    optimizer = adam(learned, settings)
    # What went before may round differently on unlike GPUs.
    parallel.spread(list(learned.parameters()))
    done = job.state.restore(learned, optimizer, job.history) if job.state else 0
    if done:
        job.progress.say(f"going on after step {done} of {settings.steps}")
    blocks = job.wiring.blocks
    with (
        arithmetic.quantizers(),
        _checkpointing(learned, settings.checkpointing),
        watched(job.reference, blocks) as reference,
        watched(learned, blocks) as student,
    ):
        teacher = Teacher(reference, remembers=settings.views > 0)
        left = settings.steps - done
        steps = job.progress.track(job.views(done), left, "joint optimisation")
        for step, (images, keys) in enumerate(steps, done + 1):
            set_rates(optimizer, step, settings)
            optimizer.zero_grad()
            forced = share(step, settings)
            losses = _backward(job, arithmetic, teacher, student, images, keys, forced)
            parallel.sum_([p.grad for p in learned.parameters() if p.grad is not None])
            if not math.isfinite(losses["loss"]):
                raise diverged(job, f"the loss is {losses['loss']} at step {step}")
            optimizer.step()
            job.history.append({"step": step} | losses)
            if job.state:
                job.state.keep(step, learned, optimizer, job.history, job.progress)
            job.progress.status("loss {loss:.4f} (logits {logits:.4f})".format(**losses))
    check_finite(job, learned, "a parameter")


@contextmanager
def _checkpointing(model: nn.Module, wanted: bool) -> Iterator[None]:
    """timm's own activation checkpointing, while training."""
    if not wanted:
        yield
        return
    if not hasattr(model, "set_grad_checkpointing"):
        raise UserError("--checkpointing: this model has none; --accumulate saves memory too")
    model.set_grad_checkpointing(True)
    try:
        yield
    finally:
        model.set_grad_checkpointing(False)


def _backward(
    job: Job,
    arithmetic: Arithmetic,
    teacher: Teacher,
    student: Run,
    images: Tensor,
    keys: list[Key],
    forced: float,
) -> dict[str, float]:
    """Gradients of the loss on a batch, added up over its parts; returns the loss and its terms.

    images: this process's share of the batch. The gradients are this share's and remain to be added
    up; the returned numbers are those of the whole batch. forced: what blocks are fed of the float
    model's features.
    """
    settings = job.settings
    classifies = job.model.num_classes > 0
    sums = dict.fromkeys(("loss", "features", "logits"), 0.0)
    for part in images.chunk(settings.accumulate):
        part_keys, keys = keys[: len(part)], keys[len(part) :]
        with arithmetic.products():
            target = teacher(part, part_keys)
            output = student(part, Guide(target.features, forced))
            features = feature_loss(output, target)
            logits = logit_loss(output, target, classifies)
            loss = settings.feature_weight * features + settings.logit_weight * logits
        weight = len(part) / settings.batch_size
        (loss * weight).backward()
        for name, term in zip(sums, (loss, features, logits), strict=True):
            sums[name] += weight * term.item()
    return dict(zip(sums, parallel.totals(sums.values()), strict=True))
