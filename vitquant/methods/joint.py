"""Joint post-training quantization (Li, Karmann, Urfalioglu, arXiv 2602.18861).

All layers are optimised together, end to end, against the float model: scales, zero points,
channel-wise rescaling and the weights themselves. No labels are used.
"""

import math
from collections.abc import Iterator

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from vitquant.layers.weight import LearnedWeight
from vitquant.methods.assemble import add_rescaling, assemble, calibrate
from vitquant.methods.distillation import feature_loss, logit_loss, watched
from vitquant.methods.job import Job
from vitquant.methods.registry import register
from vitquant.methods.rescaling import initialise, with_rescaled_values
from vitquant.methods.settings import Settings


@register("joint", trains=True)
def joint(job: Job) -> nn.Module:
    """All layers trained together to match the float model's features and logits, no labels."""
    scheme = job.settings.scheme
    bits = scheme.layer_bits(job.reference, job.wiring)
    learned = assemble(job.reference, job.wiring, bits, scheme.bits)
    initialise(add_rescaling(learned, job.folds), learned, job.samples)
    rescaled = job.sample(with_rescaled_values(job.reference, learned))
    calibrate(learned, job.samples, rescaled)
    _optimise(job, learned)
    return learned


def _optimise(job: Job, learned: nn.Module) -> None:
    settings = job.settings
    optimizer = torch.optim.Adam(list(_parameter_groups(learned, settings)))
    cosine = LambdaLR(optimizer, lambda t: 0.5 * (1 + math.cos(math.pi * t / settings.steps)))
    classifies = job.model.num_classes > 0
    blocks = job.wiring.blocks
    with watched(job.reference, blocks) as teacher_run, watched(learned, blocks) as student_run:
        steps = job.progress.track(job.views(), settings.steps, "joint optimisation")
        for step, images in enumerate(steps, 1):
            with torch.no_grad():
                teacher = teacher_run(images)
            student = student_run(images)
            features = feature_loss(student, teacher)
            logits = logit_loss(student, teacher, classifies)
            loss = settings.feature_weight * features + settings.logit_weight * logits
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            cosine.step()
            entry = {
                "step": step,
                "loss": loss.item(),
                "features": features.item(),
                "logits": logits.item(),
            }
            job.history.append(entry)
            job.progress.status("loss {loss:.4f} (logits {logits:.4f})".format(**entry))


def _parameter_groups(learned: nn.Module, settings: Settings) -> Iterator[dict]:
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
            continue
        parameter.requires_grad_(rate > 0)
        if rate > 0:
            groups.setdefault(rate, []).append(parameter)
    for rate, parameters in groups.items():
        yield {"params": parameters, "lr": rate}
