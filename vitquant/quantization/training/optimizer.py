"""Adam with a learning rate for each kind of parameter, in quantization steps, and its schedule."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from vitquant.config.quantize import QuantizeSettings
from vitquant.core.errors import CheckFailedError, UserError
from vitquant.quantization.graph.keep_float import is_kept
from vitquant.quantization.layers.base import FakeQuantLayer


def build_optimizer(
    student: nn.Module,
    settings: QuantizeSettings,
    classifier_names: Collection[str] = (),
    name: str = "",
) -> torch.optim.Adam:
    """Adam over what the settings have a rate for; the other parameters are frozen.

    classifier_names: of the layers that learn at the head's rate. name: of ``student``, where it is
    a part of the network.

    Raises:
        UserError: every rate is 0.
    """
    groups = list(parameter_groups(student, settings, classifier_names, name))
    if not groups:
        raise UserError("--lr-weights: with this and the other rates at 0, nothing is trained")
    return LsbAdam(groups, (m for m in student.modules() if isinstance(m, FakeQuantLayer)))


def learning_rate_schedule(
    optimizer: torch.optim.Optimizer, settings: QuantizeSettings, done: int = 0
) -> LambdaLR:
    """Rates that are held for a part of the steps and then fall to 0 along half a cosine.

    done: steps that a run which resumes has taken before.
    """
    held = settings.hold * settings.steps

    def factor(step: int) -> float:
        if step <= held:
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - held) / (settings.steps - held)))

    return LambdaLR(optimizer, factor, last_epoch=done - 1)


def check_finite(student: nn.Module, what: str, settings: QuantizeSettings) -> None:
    """Raise CheckFailedError where training has left a parameter infinite or no number."""
    if not all(bool(parameter.isfinite().all()) for parameter in student.parameters()):
        raise divergence_error(f"{what} is infinite or no number", settings)


def divergence_error(what: str, settings: QuantizeSettings) -> CheckFailedError:
    """To be raised."""
    return CheckFailedError(
        f"training diverged: {what}; nothing was written; "
        f"a lower --lr-weights than {settings.lr_weights:g} may help"
    )


def parameter_groups(
    student: nn.Module,
    settings: QuantizeSettings,
    classifier_names: Collection[str] = (),
    part: str = "",
) -> Iterator[dict]:
    """Adam's groups. What is in none of them stays as the float model's.

    part: the name of ``student``, where it is a part of the network.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in student.named_parameters():
        place, _, leaf = name.rpartition(".")
        owner: Any = student.get_submodule(place)
        if is_kept(f"{part}.{place}" if part else place, settings.keep_float or ()):
            rate = 0.0
        elif leaf in ("log_scale", "log_prefix_scale"):
            rate = settings.lr_scales
        elif leaf == "zero_point":
            rate = settings.lr_zero_points if owner.trains_zero_point else 0.0
        elif leaf in ("channel_shift", "prefix_channel_shift"):
            rate = settings.lr_shifts
        elif leaf == "log":
            rate = settings.lr_rescaling
        elif isinstance(owner, FakeQuantLayer):
            is_head = place in classifier_names
            rate = settings.head_rate(owner.grid.bits) if is_head else settings.lr_weights
        else:
            rate = settings.lr_norms
        parameter.requires_grad_(rate > 0)
        if rate > 0:
            groups.setdefault(rate, []).append(parameter)
    for rate, parameters in groups.items():
        yield {"params": parameters, "lr": rate, "initial_lr": rate}


class LsbAdam(torch.optim.Adam):
    """Adam whose rate for the weights and biases of ``layers`` is in LSBs, not in units.

    An LSB, a least significant bit, is the distance of two levels.


    Adam's step has one length for all, whatever the gradients are. In DeiT-Tiny with 4 bits, one
    level of a weight is from 0.001 to 0.1 wide, so one length in units takes this weight through
    its whole grid and leaves that one where it is.
    """

    def __init__(self, groups: Iterable[dict], layers: Iterable[FakeQuantLayer]) -> None:
        super().__init__(groups, fused=True)
        self._layers = list(layers)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        before = [
            (parameter, parameter.clone(), width)
            for layer in self._layers
            for parameter, width in _lsbs(layer)
            if parameter.requires_grad
        ]
        loss = super().step(closure)
        for parameter, start, width in before:
            parameter.copy_(start.lerp(parameter, width))
        return loss


def _lsbs(layer: FakeQuantLayer) -> Iterator[tuple[Tensor, Tensor]]:
    """The layer's parameters that move in LSBs, and what an LSB is in their own units."""
    yield layer.weight, layer.lsb()
    if layer.bias is not None:
        yield layer.bias, layer.log_scale.exp()
