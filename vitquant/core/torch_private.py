"""The private names of torch that the project needs, each with what for. No other file has any.

A release of torch may change them: ``tests/core/test_torch_private.py`` says so first.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

import torch

# A mode can be entered and left by public methods, but not be looked up, nor set aside together
# with those around it.
from torch import Tensor, nn
from torch._C._functorch import peek_interpreter_stack
from torch.overrides import TorchFunctionMode, _get_current_function_mode, _pop_mode, _push_mode
from torch.utils._python_dispatch import _get_current_dispatch_mode


def innermost_function_mode() -> TorchFunctionMode | None:
    """The TorchFunctionMode of this thread that sees calls first.

    Hooks that enter a mode and leave it have no other way to tell whether it is theirs: if a hook
    before the entering one raises, the leaving one is called all the same.
    """
    mode: TorchFunctionMode | None = _get_current_function_mode()
    return mode


@contextmanager
def no_function_modes() -> Iterator[None]:
    """Inside, no TorchFunctionMode sees what is called in this thread.

    What torch.compile makes is bound to the modes that are active, and a computation inside the
    forward pass of an intercepted module would be taken for part of it.
    """
    modes = []
    while _get_current_function_mode() is not None:
        modes.append(_pop_mode())
    try:
        yield
    finally:
        for mode in reversed(modes):
            _push_mode(mode)


def is_traced() -> bool:
    """Whether a tool records what is computed, or computes it for several inputs at once.

    torch.compile, torch.export, torch.jit.trace, dispatch modes such as that of make_fx, and vmap:
    a computation in parts, as many as a batch takes, would be bound to the batch that it saw.
    """
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or _get_current_dispatch_mode() is not None
        or peek_interpreter_stack() is not None
    )


class SinglePrecision(nn.Module):
    """A module whose float32 tensors stay so where a model is brought to half precision.

    ``half``, ``bfloat16`` and ``to`` all call ``_apply``; to override them does not reach a module
    inside of another.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        def changed(tensor: Tensor) -> Tensor:
            found = fn(tensor)
            halved = tensor.dtype == torch.float32 and found.dtype.itemsize < 4
            return tensor.to(found.device) if halved else found

        super()._apply(changed, recurse)  # type: ignore[no-untyped-call]
        return self
