"""The private names of torch that the project needs do what it needs them for."""

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode

from vitquant.core.torch_private import (
    SinglePrecision,
    innermost_function_mode,
    is_traced,
    no_function_modes,
)


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


def test_what_records_a_computation_is_noticed():
    seen = []

    def look(x):
        seen.append(is_traced())
        return x + 1

    x = torch.ones(2)
    look(x)
    for run in (torch.vmap(look), make_fx(look)):
        run(x)
    torch.jit.trace(look, x, check_trace=False)
    assert seen == [False, True, True, True]


@pytest.mark.parametrize("change", ["half", "bfloat16", "float"])
def test_single_precision_stays_inside_of_a_model_of_half(change):
    inner = SinglePrecision()
    inner.scale, inner.zero = nn.Buffer(torch.ones(2)), nn.Buffer(torch.zeros(2, dtype=torch.uint8))
    model = nn.Sequential(inner, nn.Linear(2, 2))
    assert getattr(model, change)() is model
    assert (inner.scale.dtype, inner.zero.dtype) == (torch.float32, torch.uint8)
    assert model.double()[0].scale.dtype == torch.float64
    assert model.to("meta", torch.float16)[0].scale.is_meta
