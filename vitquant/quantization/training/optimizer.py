"""What training follows: Adam with a rate for each kind of parameter, held, then down to zero."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from vitquant.config.quantize import QuantizeSettings
from vitquant.core.errors import CheckFailedError, UserError
from vitquant.quantization.layers.base import FakeQuantLayer
from vitquant.quantization.ptq.context import PTQContext


def build_optimizer(
    student: nn.Module, settings: QuantizeSettings, classifier_names: Collection[str] = ()
) -> torch.optim.Adam:
    """Adam over what the settings have a rate for; the other parameters are frozen.

    classifier_names: of the layers that learn at the head's rate.

    Raises:
        UserError: every rate is 0.
    """
    groups = list(parameter_groups(student, settings, classifier_names))
    if not groups:
        raise UserError("--lr-weights: with this and the other rates at 0, nothing is trained")
    return LsbAdam(groups, (m for m in student.modules() if isinstance(m, FakeQuantLayer)))


def set_learning_rates(
    optimizer: torch.optim.Optimizer, step: int, settings: QuantizeSettings
) -> None:
    """Every group's learning rate in a step, counted from 1."""
    held = settings.hold * settings.steps
    factor = 1.0
    if step - 1 > held:
        factor = 0.5 * (1 + math.cos(math.pi * (step - 1 - held) / (settings.steps - held)))
    for group in optimizer.param_groups:
        group["lr"] = factor * group.setdefault("initial_lr", group["lr"])


def check_finite(context: PTQContext, student: nn.Module, what: str) -> None:
    """Raises CheckFailedError where training has left a parameter infinite or no number."""
    if not all(bool(parameter.isfinite().all()) for parameter in student.parameters()):
        raise divergence_error(context, f"{what} is infinite or no number")


def divergence_error(context: PTQContext, what: str) -> CheckFailedError:
    """To be raised; a state to go on from would end here again, so it is removed."""
    if context.state:
        context.state.remove()
    return CheckFailedError(
        f"training diverged: {what}; nothing was written; "
        f"a lower --lr-weights than {context.settings.lr_weights:g} may help"
    )


def parameter_groups(
    student: nn.Module, settings: QuantizeSettings, classifier_names: Collection[str] = ()
) -> Iterator[dict]:
    """Adam's groups. What is in none of them stays as the float model's."""
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in student.named_parameters():
        place, _, leaf = name.rpartition(".")
        owner = student.get_submodule(place)
        if leaf in ("log_scale", "log_prefix_scale"):
            rate = settings.lr_scales
        elif leaf == "zero_point":
            rate = settings.lr_zero_points if owner.signed else 0.0
        elif leaf in ("channel_shift", "prefix_channel_shift"):
            rate = settings.lr_shifts
        elif leaf == "log":
            rate = settings.lr_rescaling
        elif isinstance(owner, FakeQuantLayer):
            rate = settings.lr_head if place in classifier_names else settings.lr_weights
        else:
            rate = settings.lr_norms
        parameter.requires_grad_(rate > 0)
        if rate > 0:
            groups.setdefault(rate, []).append(parameter)
    for rate, parameters in groups.items():
        yield {"params": parameters, "lr": rate}


class LsbAdam(torch.optim.Adam):
    """Adam that moves the weights and biases of ``layers`` by as many levels, not as many units.

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
    """The layer's parameters that move in levels, and what a level is in their own units."""
    yield layer.weight, layer.level()
    if layer.bias is not None:
        yield layer.bias, layer.log_scale.exp()
