"""Observe one forward pass: which module multiplies what."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vitquant.quantization.layers.attention import decomposed_sdpa
from vitquant.quantization.layers.interception import MATMULS, SDPA, is_parameter, operands

# What computes with a weight or multiplies two activations, and cannot be replaced.
_UNSUPPORTED = {
    F.multi_head_attention_forward: "nn.MultiheadAttention",
    **{
        function: f"torch.{name}"
        for name in ("einsum", "baddbmm", "addbmm", "addmm", "tensordot", "bilinear")
        for function in (getattr(torch, name), getattr(torch.Tensor, name, None))
        if function is not None
    },
    **{
        getattr(torch, name): name
        for name in ("conv1d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
    },
}


class Observer(Protocol):
    """What a trace reports, in the order of execution."""

    def on_layer(self, layer: str, caller: str, x: Tensor) -> None:
        """Linear or Conv2d ``layer`` computes on ``x``; ``caller`` differs if it is functional."""

    def on_matmul(self, caller: str, index: int, left: Tensor, right: Tensor) -> None:
        """The ``index``-th matmul of two activations inside ``caller``."""

    def on_unsupported(self, caller: str, what: str) -> None:
        """``caller`` multiplies in a way that cannot be replaced."""


def trace(model: nn.Module, images: Tensor, observer: Observer) -> Tensor:
    """Run a float model on ``images`` (B, C, H, W) and report to ``observer``; returns the output.

    Module names are those of ``model.named_modules()``.
    """
    with torch.no_grad(), _module_stack(model) as stack, _Tracing(model, stack, observer):
        return model(images)


@contextmanager
def _module_stack(model: nn.Module) -> Iterator[list[tuple[str, tuple]]]:
    """Names of the modules that are running, the innermost last, with their inputs."""
    stack: list[tuple[str, tuple]] = [("", ())]
    handles = []
    for name, module in model.named_modules():

        def enter(module, args, name=name):
            stack.append((name, args))

        def leave(module, args, output):
            stack.pop()

        handles.append(module.register_forward_pre_hook(enter))
        handles.append(module.register_forward_hook(leave, always_call=True))
    try:
        yield stack
    finally:
        for handle in handles:
            handle.remove()


class _Tracing(TorchFunctionMode):
    def __init__(
        self, model: nn.Module, stack: list[tuple[str, tuple]], observer: Observer
    ) -> None:
        super().__init__()
        self.stack = stack
        self.observer = observer
        self.matmuls: Counter[str] = Counter()
        self.layers = {
            id(module.weight): name
            for name, module in model.named_modules()
            if isinstance(module, (nn.Linear, nn.Conv2d))
        }

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in MATMULS:
            left, right = operands(args, kwargs)
            if not (is_parameter(left) or is_parameter(right)):
                return self._matmul(left, right)
            self.observer.on_unsupported(self.current(), "a matmul with a bare parameter")
        elif func is SDPA:
            return decomposed_sdpa(self._matmul, self._matmul, *args, **kwargs)
        elif func in (F.linear, torch.conv2d):
            self._layer(*args, **kwargs)
        elif func in _UNSUPPORTED:
            self.observer.on_unsupported(self.current(), _UNSUPPORTED[func])
        return func(*args, **kwargs)

    def current(self) -> str:
        return self.stack[-1][0]

    def _matmul(self, left: Tensor, right: Tensor) -> Tensor:
        caller = self.current()
        self.observer.on_matmul(caller, self.matmuls[caller], left, right)
        self.matmuls[caller] += 1
        return torch.matmul(left, right)

    def _layer(self, input: Tensor, weight: Tensor, *args, **kwargs) -> None:
        layer = self.layers.get(id(weight))
        caller, given = self.stack[-1]
        if layer is None:
            self.observer.on_unsupported(caller, "a matmul with a bare parameter")
        elif layer == caller and not any(input is x for x in given):
            # Such as a convolution that pads by itself: its replacement would not.
            self.observer.on_unsupported(caller, "an input that it changes first")
        else:
            self.observer.on_layer(layer, caller, input)
