"""Which earlier module can absorb a division of a Linear's input channels.

Instead of knowing for each architecture which Linear sits behind which normalisation, each
candidate's output channels are multiplied by known factors. If a Linear's input arrives multiplied
by the same factors, and putting that input right makes the model's output right again, then the
division folds into the candidate: nothing else looks at those channels. This sees through window
partitioning, token selection, pooling and attention alike. Where a division folds, an offset is
tried in the same way: padding with zeros, for one, passes factors on and offsets not.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from vitquant.models.adapter import Forward
from vitquant.quantization.graph.points import QuantizationPoints


@dataclass(frozen=True)
class Fold:
    """A division of ``consumers``' inputs can fold into ``source``'s output channels.

    start: first of the source's output channels concerned; they are as many as the consumers'
    input channels. norm: whether the source is a normalisation with an affine part. shift: whether
    an offset of those channels reaches the consumers' inputs unchanged too, and nothing else.
    """

    source: str
    start: int
    consumers: tuple[str, ...]
    norm: bool
    shift: bool


def find_folds(
    model: nn.Module,
    images: Tensor,
    points: QuantizationPoints,
    forward: Forward = nn.Module.__call__,
) -> list[Fold]:
    """All folds of a float model in eval mode, found by probing with ``images`` (B, C, H, W).

    forward: how to get the model's output as a tensor from the model and images.
    """
    linears = {n: model.get_submodule(n) for n in points.layers if n not in points.functional}
    linears = {n: m for n, m in linears.items() if isinstance(m, nn.Linear)}
    folds = []
    taken: set[str] = set()
    with torch.no_grad():
        scopes = _scopes(model, images, linears, points.blocks, forward)
        for source, start, channels, norm in _candidates(model, points, linears):
            scope = next(
                (s for n, s in scopes.items() if n and source.startswith(f"{n}.")), scopes[""]
            )
            free = [n for n in scope.inputs if n not in taken and n != source]
            fitting = {n: linears[n] for n in free if linears[n].in_features == channels}
            module, uneven = model.get_submodule(source), _uneven(channels).to(images.device)
            consumers = _probe(scope, module, start, uneven, torch.mul, fitting)
            if consumers:
                reached = {n: linears[n] for n in consumers}
                offsets = uneven * scope.inputs[consumers[0]].abs().mean()
                shift = _probe(scope, module, start, offsets, torch.add, reached) == consumers
                folds.append(Fold(source, start, consumers, norm, shift))
                taken.update(consumers)
    return folds


def _uneven(channels: int) -> Tensor:
    """(channels,) numbers between 0.5 and 1.5, no two alike: what arrives, arrives in order."""
    return torch.rand(channels, generator=torch.Generator().manual_seed(0)) + 0.5


@dataclass
class _Scope:
    """A part of the model with what went in and came out: probing a block needs only the block."""

    run: Callable[[], Any]
    output: Any
    inputs: dict[str, Tensor]


def _scopes(
    model: nn.Module,
    images: Tensor,
    linears: dict[str, nn.Linear],
    blocks: list[str],
    forward: Forward,
) -> dict[str, _Scope]:
    inputs: dict[str, Tensor] = {}
    scopes: dict[str, _Scope] = {}

    def record(name: str):
        def hook(module, args, kwargs, output):
            inside = {n: x for n, x in inputs.items() if n.startswith(f"{name}.")}
            scopes[name] = _Scope(partial(module, *args, **kwargs), output, inside)

        return hook

    handles = [
        model.get_submodule(name).register_forward_hook(record(name), with_kwargs=True)
        for name in blocks
    ]
    try:
        with _hooks(linears, inputs.__setitem__):
            output = forward(model, images)
    finally:
        _remove(handles)
    scopes[""] = _Scope(partial(forward, model, images), output, inputs)
    return scopes


def _candidates(
    model: nn.Module, points: QuantizationPoints, linears: dict[str, nn.Linear]
) -> Iterator[tuple[str, int, int, bool]]:
    """(name, first channel, channels, is a norm) of modules that may absorb a division."""
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        is_norm = "norm" in type(module).__name__.lower()
        if is_norm and isinstance(weight, nn.Parameter) and weight.dim() == 1:
            yield name, 0, len(weight), True
    for attention in points.products:
        for name, linear in linears.items():
            if name.startswith(f"{attention}."):
                # The values are the last third of a joint projection, or a projection of their own.
                if linear.out_features == 3 * linear.in_features:
                    yield name, 2 * linear.in_features, linear.in_features, False
                elif linear.out_features == linear.in_features:
                    yield name, 0, linear.out_features, False


def _probe(
    scope: _Scope,
    source: nn.Module,
    start: int,
    values: Tensor,
    change: Callable[[Tensor, Tensor], Tensor],
    linears: dict[str, nn.Linear],
) -> tuple[str, ...]:
    """Which Linears, and nothing else, see the change of the source's channels by ``values``."""
    if not linears:
        return ()
    consumers: list[str] = []

    def alter(module: nn.Module, args: tuple, out: Tensor) -> Tensor:
        out = out.clone()
        channels = slice(start, start + len(values))
        out[..., channels] = change(out[..., channels], values)
        return out

    def restore(name: str, x: Tensor) -> Tensor | None:
        original = scope.inputs[name]
        if not _close(x, original) and _close(x, change(original, values)):
            consumers.append(name)
            return original
        return None

    handle = source.register_forward_hook(alter)
    try:
        with _hooks(linears, restore):
            probed = scope.run()
    except RuntimeError:  # channels that are not the last dimension
        return ()
    finally:
        handle.remove()
    return tuple(consumers) if _close(probed, scope.output) else ()


def _close(a: Any, b: Any) -> bool:
    if not isinstance(a, Tensor):
        return isinstance(a, (tuple, list)) and all(map(_close, a, b))
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-3, atol=1e-4 * float(b.abs().max()))


@contextmanager
def _hooks(linears: dict[str, nn.Linear], see) -> Iterator[None]:
    """Call ``see(name, input)`` before each Linear; what it returns replaces the input."""

    def hook(name: str):
        def pre(module: nn.Module, args: tuple) -> tuple | None:
            replaced = see(name, args[0])
            return None if replaced is None else (replaced, *args[1:])

        return pre

    handles = [m.register_forward_pre_hook(hook(n)) for n, m in linears.items()]
    try:
        yield
    finally:
        _remove(handles)


def _remove(handles: Iterable[torch.utils.hooks.RemovableHandle]) -> None:
    for handle in handles:
        handle.remove()
