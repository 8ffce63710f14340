"""The private names of torch that the project needs do what it needs them for."""

import pytest
import torch
from torch.overrides import TorchFunctionMode

from vitquant.core.torch_private import innermost_function_mode, no_function_modes


class Counting(TorchFunctionMode):
    calls = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.calls += 1
        return func(*args, **(kwargs or {}))


def test_the_innermost_mode_is_the_last_one_entered():
    assert innermost_function_mode() is None
    with Counting() as outer:
        with Counting() as inner:
            assert innermost_function_mode() is inner
        assert innermost_function_mode() is outer
    assert innermost_function_mode() is None


def test_modes_see_nothing_and_come_back_in_their_order():
    x = torch.ones(2)
    with Counting() as outer, Counting() as inner:
        with pytest.raises(RuntimeError), no_function_modes():
            torch.add(x, torch.ones(3))
        assert outer.calls == inner.calls == 0
        assert innermost_function_mode() is inner
        torch.add(x, x)
        assert outer.calls == inner.calls == 1
