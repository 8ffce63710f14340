"""Optimize all layers of a quantized model together against the float model."""

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from vitquant.core import distributed
from vitquant.core.errors import CheckFailedError, UserError
from vitquant.quantization.ptq.context import PTQContext
from vitquant.quantization.training.batches import Key, training_batches
from vitquant.quantization.training.features import (
    CachedTeacher,
    FeatureExtractor,
    TeacherForcing,
    capture_features,
    teacher_forcing_ratio,
)
from vitquant.quantization.training.losses import feature_loss, logit_loss
from vitquant.quantization.training.optimizer import (
    build_optimizer,
    check_finite,
    divergence_error,
    learning_rate_schedule,
)
from vitquant.quantization.training.precision import StepPrecision, choose_precision
from vitquant.quantization.training.state import TrainingState, saved_state


def train(context: PTQContext, student: nn.Module) -> None:
    """Train ``student`` in place for the context's steps; its losses go to the context's history.

    Where the context says where to resume from, it does, and keeps the state there. Several
    processes divide each batch, and all call this together.

    Raises:
        UserError: the settings ask for precision that this machine does not have, or the saved
            state cannot be used.
        CheckFailedError: the loss, or a parameter, is no longer a finite number.
    """
    settings = context.settings
    precision = choose_precision(
        settings, context.device, context.progress, context.model.parameters
    )
    context.progress.say(f"training in {precision}")
    optimizer = build_optimizer(student, settings, context.model.classifier_names)
    # What went before may round differently on unlike GPUs.
    distributed.broadcast(list(student.parameters()))
    state = saved_state(context)
    done = 0 if state is None else state.load(student, optimizer, context.history)
    if done:
        context.progress.say(f"resumed after step {done} of {settings.steps}")
    try:
        _train(context, precision, student, optimizer, state, done)
        check_finite(student, "a parameter", settings)
    except CheckFailedError:
        if state is not None:
            state.remove()  # a run that resumes from it would diverge again
        raise


def _train(
    context: PTQContext,
    precision: StepPrecision,
    student: nn.Module,
    optimizer: torch.optim.Adam,
    state: TrainingState | None,
    done: int,
) -> None:
    settings = context.settings
    schedule = learning_rate_schedule(optimizer, settings, done)
    blocks, forward = context.points.blocks, context.model.adapter.forward
    with (
        precision.compiled_quantizers(student),
        _grad_checkpointing(context, student),
        capture_features(context.float_model, blocks, forward) as run_teacher,
        capture_features(student, blocks, forward) as run_student,
    ):
        teacher = CachedTeacher(run_teacher, caches=settings.views > 0)
        left = settings.steps - done
        steps = context.progress.track(training_batches(context, done), left, "joint optimization")
        for step, (images, keys) in enumerate(steps, done + 1):
            optimizer.zero_grad()
            forced = teacher_forcing_ratio(step, settings)
            losses = _backward(context, precision, teacher, run_student, images, keys, forced)
            distributed.all_reduce([p.grad for p in student.parameters() if p.grad is not None])
            if not math.isfinite(losses["loss"]):
                raise divergence_error(f"the loss is {losses['loss']} at step {step}", settings)
            optimizer.step()
            schedule.step()
            context.history.append({"step": step, **losses})
            if state is not None:
                state.save_if_due(step, student, optimizer, context.history, context.progress)
            context.progress.status("loss {loss:.4f} (logits {logits:.4f})".format(**losses))


def _grad_checkpointing(context: PTQContext, student: nn.Module) -> AbstractContextManager[None]:
    """Activation checkpointing, while training, where the settings ask for it."""
    if not context.settings.grad_checkpointing:
        return nullcontext()
    checkpointing = context.model.adapter.grad_checkpointing(student)
    if checkpointing is None:
        raise UserError(
            "--grad-checkpointing: this model has none; --grad-accum-steps saves memory too"
        )
    return checkpointing


def _backward(
    context: PTQContext,
    precision: StepPrecision,
    teacher: CachedTeacher,
    run_student: FeatureExtractor,
    images: Tensor,
    keys: list[Key],
    forced: float,
) -> dict[str, float]:
    """Gradients of the loss on a batch, accumulated over its parts; returns the loss and its terms.

    images: this process's share of the batch. The gradients are this share's and remain to be added
    up; the returned numbers are those of the whole batch. forced: the teacher-forcing ratio.
    """
    settings = context.settings
    classifies = context.model.num_classes > 0
    sums = dict.fromkeys(("loss", "features", "logits"), 0.0)
    for part in images.chunk(settings.grad_accum_steps):
        part_keys, keys = keys[: len(part)], keys[len(part) :]
        with precision.autocast():
            target = teacher(part, part_keys)
            output = run_student(part, TeacherForcing(target.features, forced))
            features = feature_loss(output, target)
            logits = logit_loss(output, target, classifies)
            loss = settings.feature_weight * features + settings.logit_weight * logits
        weight = len(part) / settings.batch_size
        (loss * weight).backward()
        for name, term in zip(sums, (loss, features, logits), strict=True):
            sums[name] += weight * term.item()
    return dict(zip(sums, distributed.all_reduce_scalars(sums.values()), strict=True))
