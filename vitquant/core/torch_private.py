"""The private names of torch that the project needs, each with what for. No other file has any.

A release of torch may change them: ``tests/core/test_torch_private.py`` says so first.
"""

from collections.abc import Iterator
from contextlib import contextmanager

# A mode can be entered and left by public methods, but not be looked up, nor set aside together
# with those around it.
from torch.overrides import TorchFunctionMode, _get_current_function_mode, _pop_mode, _push_mode


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
