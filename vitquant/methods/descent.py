"""What training follows: Adam with a rate for each kind of parameter, held, then down to zero."""

import math
from collections.abc import Iterator

import torch
from torch import nn

from vitquant.errors import CheckFailedError, UserError
from vitquant.layers.weight import LearnedWeight
from vitquant.methods.job import Job
from vitquant.methods.level_adam import LevelAdam
from vitquant.methods.scheme import classifiers
from vitquant.methods.settings import Settings


def adam(learned: nn.Module, settings: Settings) -> torch.optim.Adam:
    """Adam over what the settings have a rate for; the other parameters are frozen.

    Raises:
        UserError: every rate is 0.
    """
    groups = list(parameter_groups(learned, settings))
    if not groups:
        raise UserError("--lr-weights: with this and the other rates at 0, nothing is trained")
    return LevelAdam(groups, (m for m in learned.modules() if isinstance(m, LearnedWeight)))


def set_rates(optimizer: torch.optim.Optimizer, step: int, settings: Settings) -> None:
    """Every group's learning rate in a step, counted from 1."""
    held = settings.hold * settings.steps
    factor = 1.0
    if step - 1 > held:
        factor = 0.5 * (1 + math.cos(math.pi * (step - 1 - held) / (settings.steps - held)))
    for group in optimizer.param_groups:
        group["lr"] = factor * group.setdefault("initial_lr", group["lr"])


def check_finite(job: Job, learned: nn.Module, what: str) -> None:
    """Raises CheckFailedError where training has left a parameter infinite or no number."""
    if not all(bool(parameter.isfinite().all()) for parameter in learned.parameters()):
        raise diverged(job, f"{what} is infinite or no number")


def diverged(job: Job, what: str) -> CheckFailedError:
    """To be raised; a state to go on from would end here again, so it is removed."""
    if job.state:
        job.state.remove()
    return CheckFailedError(
        f"training diverged: {what}; nothing was written; "
        f"a lower --lr-weights than {job.settings.lr_weights:g} may help"
    )


def parameter_groups(learned: nn.Module, settings: Settings) -> Iterator[dict]:
    """Adam's groups. What is in none of them stays as the float model's."""
    groups: dict[float, list[nn.Parameter]] = {}
    heads = classifiers(learned)
    for name, parameter in learned.named_parameters():
        place, _, leaf = name.rpartition(".")
        owner = learned.get_submodule(place)
        if leaf in ("log_scale", "log_prefix"):
            rate = settings.lr_scales
        elif leaf == "zero_point":
            rate = settings.lr_zero_points if owner.signed else 0.0
        elif leaf in ("offset", "prefix_offset"):
            rate = settings.lr_offsets
        elif leaf == "log":
            rate = settings.lr_rescaling
        elif isinstance(owner, LearnedWeight):
            rate = settings.lr_head if place in heads else settings.lr_weights
        else:
            rate = settings.lr_norms
        parameter.requires_grad_(rate > 0)
        if rate > 0:
            groups.setdefault(rate, []).append(parameter)
    for rate, parameters in groups.items():
        yield {"params": parameters, "lr": rate}
