"""Optimise all layers of a quantized model together against the float model."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from vitquant.errors import UserError
from vitquant.layers.weight import LearnedWeight
from vitquant.methods.arithmetic import Arithmetic, choose
from vitquant.methods.distillation import Run, feature_loss, logit_loss, watched
from vitquant.methods.job import Job
from vitquant.methods.settings import Settings


def train(job: Job, learned: nn.Module) -> None:
    """Train ``learned`` in place for the job's steps; its losses go to the job's history.

    Raises:
        UserError: the settings ask for arithmetic that this machine does not have.
    """
    settings = job.settings
    arithmetic = choose(settings, job.device, job.progress)
    job.progress.say(f"training in {arithmetic}")
    optimizer = torch.optim.Adam(list(parameter_groups(learned, settings)), fused=True)
    cosine = LambdaLR(optimizer, lambda t: 0.5 * (1 + math.cos(math.pi * t / settings.steps)))
    blocks = job.wiring.blocks
    with (
        arithmetic.quantizers(),
        _checkpointing(learned, settings.checkpointing),
        watched(job.reference, blocks) as teacher,
        watched(learned, blocks) as student,
    ):
        steps = job.progress.track(job.views(), settings.steps, "joint optimisation")
        for step, images in enumerate(steps, 1):
            optimizer.zero_grad()
            losses = _backward(job, arithmetic, teacher, student, images)
            optimizer.step()
            cosine.step()
            job.history.append({"step": step} | losses)
            job.progress.status("loss {loss:.4f} (logits {logits:.4f})".format(**losses))


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
    job: Job, arithmetic: Arithmetic, teacher: Run, student: Run, images: Tensor
) -> dict[str, float]:
    """Gradients of the loss on a batch, added up over its parts; returns the loss and its terms."""
    settings = job.settings
    classifies = job.model.num_classes > 0
    sums = dict.fromkeys(("loss", "features", "logits"), 0.0)
    for part in images.chunk(settings.accumulate):
        with arithmetic.products():
            with torch.no_grad():
                target = teacher(part)
            output = student(part)
            features = feature_loss(output, target)
            logits = logit_loss(output, target, classifies)
            loss = settings.feature_weight * features + settings.logit_weight * logits
        share = len(part) / len(images)
        (loss * share).backward()
        for name, term in zip(sums, (loss, features, logits), strict=True):
            sums[name] += share * term.item()
    return sums


def parameter_groups(learned: nn.Module, settings: Settings) -> Iterator[dict]:
    """Adam's groups. What is in none of them (norms, embeddings) stays as the float model's."""
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in learned.named_parameters():
        owner = learned.get_submodule(name.rpartition(".")[0])
        leaf = name.rpartition(".")[2]
        if leaf == "log_scale":
            rate = settings.lr_scales
        elif leaf == "zero_point":
            rate = settings.lr_zero_points if owner.signed else 0.0
        elif leaf == "log":
            rate = settings.lr_rescaling
        elif isinstance(owner, LearnedWeight):
            rate = settings.lr_weights
        else:
            rate = 0.0
        parameter.requires_grad_(rate > 0)
        if rate > 0:
            groups.setdefault(rate, []).append(parameter)
    for rate, parameters in groups.items():
        yield {"params": parameters, "lr": rate}
