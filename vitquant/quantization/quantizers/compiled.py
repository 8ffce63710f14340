"""Fake quantization in one pass over a tensor, compiled by torch.compile.

Put together from ordinary operations, rounding to a grid and its gradients pass a dozen times over
an activation. Compiled, they pass once or twice, which on a CPU is ten times as fast. A compiler
is needed for it (a C++ compiler on a CPU, Triton on a GPU), so ``affine`` and ``per_channel`` have
a form without; both compute the same, up to the order of sums.

Each quantized module has a switch between the two. The backward pass takes the form that its
forward pass took.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from vitquant.core.errors import first_line
from vitquant.core.torch_private import no_function_modes


class Compilable(nn.Module):
    """A module whose quantizers have a compiled form; ``compiled`` says whether they use it."""

    compiled: bool = False


@contextmanager
def use_compiled(model: nn.Module, wanted: bool) -> Iterator[None]:
    """Inside, the quantizers of ``model`` use the compiled form, or not."""
    modules = [module for module in model.modules() if isinstance(module, Compilable)]
    before = [module.compiled for module in modules]
    for module in modules:
        module.compiled = wanted
    try:
        yield
    finally:
        for module, own in zip(modules, before, strict=True):
            module.compiled = own


@cache
def unavailable_reason(device: str) -> str:
    """Why nothing can be compiled for ``device`` here; empty if it can. Compiles to find out."""
    one = torch.ones((), device=device)
    try:
        per_tensor_value(torch.ones(2, 3, device=device), one, one, one, one, torch.float32)
    except Exception as error:  # compilers fail in as many ways as there are compilers
        return first_line(error)
    return ""


def per_tensor_value(
    x: Tensor, factor: Tensor, low: Tensor, high: Tensor, scale: Tensor, dtype: torch.dtype
) -> Tensor:
    """``scale * clamp(round(x * factor), low, high)``, of ``dtype`` and of x's shape."""
    if scale.dim():
        low, high = (_per_group(t, scale) for t in (low, high))
        parts = _grouped(x, scale), factor.reshape(scale.numel(), -1), low, high, scale.view(-1, 1)
    else:
        parts = _matrix(x), _vector(factor), low, high, scale
    return _call(_per_tensor_value, *parts, dtype).view(x.shape)


def per_tensor_gradients(
    grad: Tensor, x: Tensor, factor: Tensor, low: Tensor, high: Tensor, multiplier: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Gradients of x, of scale, of zero point / scale, and of ``multiplier`` if there is one.

    Those of scale and zero point are of the shape of scale.
    """
    if factor.dim() > 1:
        like = factor[..., :1]
        low, high = (_per_group(t, like) for t in (low, high))
        parts = *(_grouped(t, like) for t in (grad, x)), factor.reshape(like.numel(), -1)
        grad_x, *sums, others = _call(_grouped_gradients, *parts, low, high, multiplier)
        return grad_x.view(x.shape), *(t.view(like.shape) for t in sums), others
    grad_x, *others = _call(
        _per_tensor_gradients, _matrix(grad), _matrix(x), _vector(factor), low, high, multiplier
    )
    return grad_x.view(x.shape), *others


def per_channel_value(weight: Tensor, scale: Tensor, low: int, high: int) -> Tensor:
    """``scale * clamp(round(weight / scale), low, high)`` for weight (O, I) and scale (O,)."""
    return _call(_per_channel_value, weight, scale, low, high)


def per_channel_gradients(
    grad: Tensor, weight: Tensor, scale: Tensor, low: int, high: int
) -> tuple[Tensor, Tensor]:
    """Gradients of the weight (O, I) and of the scale (O,)."""
    return _call(_per_channel_gradients, _matrix(grad), weight, scale, low, high)


def _per_tensor_value(x, factor, low, high, scale, dtype):
    codes = (x.to(scale.dtype) * factor).round().clamp(low, high)
    return (codes * scale).to(dtype)


def _per_tensor_gradients(grad, x, factor, low, high, multiplier):
    value, g = x.to(factor.dtype), grad.to(factor.dtype)
    v = value * factor
    rounded = v.round()
    codes = rounded.clamp(low, high)
    inside = torch.where(rounded == codes, g, 0.0)
    grad_scale = (g * codes - inside * v).sum()
    grad_zero_point = (inside - g).sum()
    if multiplier is None:
        return inside.to(x.dtype), grad_scale, grad_zero_point, None
    grad_multiplier = (inside * value).sum(0)
    return (inside * multiplier).to(x.dtype), grad_scale, grad_zero_point, grad_multiplier


def _grouped_gradients(grad, x, factor, low, high, multiplier):
    value, g = x.to(factor.dtype), grad.to(factor.dtype)
    v = value * factor
    rounded = v.round()
    codes = rounded.clamp(low, high)
    inside = torch.where(rounded == codes, g, 0.0)
    grad_scale = (g * codes - inside * v).sum((0, 2))
    grad_zero_point = (inside - g).sum((0, 2))
    if multiplier is None:
        return inside.to(x.dtype), grad_scale, grad_zero_point, None
    grad_multiplier = (inside * value).sum((0, 1))
    return (inside * multiplier).to(x.dtype), grad_scale, grad_zero_point, grad_multiplier


def _per_channel_value(weight, scale, low, high):
    return (weight / scale[:, None]).round().clamp(low, high) * scale[:, None]


def _per_channel_gradients(grad, weight, scale, low, high):
    v = weight / scale[:, None]
    rounded = v.round()
    codes = rounded.clamp(low, high)
    inside = torch.where(rounded == codes, grad, 0.0)
    return inside, (grad * codes - inside * v).sum(1)


# Whatever distinguishes two calls (ranks, strides, views of what, gradients, autocast, modes) is
# compiled anew, up to a limit behind which nothing is compiled at all. So all is made alike first.
def _matrix(x: Tensor) -> Tensor:
    return x.contiguous().view(-1, x.shape[-1])


def _grouped(x: Tensor, scale: Tensor) -> Tensor:
    """(..., groups, elements): the heads, rows or rows of heads that share an element of scale."""
    together = x.shape[-1] if scale.shape[-2] > 1 else x.shape[-2] * x.shape[-1]
    return x.contiguous().view(-1, scale.numel(), together)


def _per_group(limit: Tensor, scale: Tensor) -> Tensor:
    """(groups, 1): a limit for each element of scale."""
    return limit.expand(scale.shape).reshape(-1, 1)


def _vector(x: Tensor) -> Tensor:
    return x.reshape(-1)


def _call(function: Callable[..., Any], first: Tensor, *args: Any) -> Any:
    plain = torch.autocast(first.device.type, enabled=False)
    with no_function_modes(), torch.no_grad(), plain:
        bare = (x.data if isinstance(x, Tensor) else x for x in (first, *args))
        return _compiled(function)(*bare)


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function, dynamic=True)
