"""Matmuls are routed to quantized modules, and nothing else is."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from vitquant.quantization.layers.attention import frozen_matmul
from vitquant.quantization.layers.interception import intercept, intercepted
from vitquant.quantization.quantizers.grid import activation_grid


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = nn.Parameter(torch.eye(4))

    def forward(self, x):
        return (x @ x.mT) @ (x @ self.mix)


def coarse():
    """A product on the integers 0 to 3."""
    return frozen_matmul(activation_grid(2))


def test_matmuls_of_activations_are_quantized_and_those_with_parameters_are_not():
    head = Head()
    intercept(head, [coarse(), coarse()])
    x = torch.full((1, 4, 4), 0.4)
    assert torch.equal(head(x), torch.zeros(1, 4, 4))  # 0.4 rounds to 0
    x = torch.full((1, 4, 4), 1.4)
    # 1 * 1 * 4 is clipped to 3; 1.4 times the identity is 1.4, which rounds to 1.
    assert torch.equal(head(x), torch.full((1, 4, 4), 12.0))


def test_a_parameter_is_one_for_functional_call_too():
    head = Head()
    intercept(head, [coarse(), coarse()])
    x = torch.full((1, 4, 4), 1.4)
    state = {"mix": 2 * torch.eye(4)}
    # 2.8 rounds to 3; without a mix of 2, 1.4 would round to 1.
    assert torch.equal(torch.func.functional_call(head, state, (x,)), torch.full((1, 4, 4), 36.0))


@pytest.mark.slow
@pytest.mark.parametrize("strict", [False, True])
def test_the_operator_is_intercepted_in_what_is_exported(strict):
    head = Head()
    intercept(head, [coarse(), coarse()])
    x = torch.full((1, 4, 4), 1.4)
    program = torch.export.export(nn.Sequential(head), (x,), strict=strict)
    assert torch.equal(program.module()(x), torch.full((1, 4, 4), 12.0))


def test_the_class_keeps_its_name_and_its_parameters():
    head = Head()
    intercept(head, [coarse(), coarse()])
    assert type(head) is Head
    assert "mix" in head.state_dict()
    assert [name for name, _, _ in intercepted(nn.Sequential(head))] == ["0"]


def test_a_module_is_intercepted_once():
    head = Head()
    intercept(head, [coarse(), coarse()])
    with pytest.raises(ValueError, match="Head is already intercepted"):
        intercept(head, [])


def test_without_matmuls_everything_is_computed_as_before():
    head, plain = Head(), Head()
    intercept(head, [])
    x = torch.randn(2, 4, 4)
    assert torch.equal(head(x), plain(x))


def test_modules_around_it_are_not_touched():
    head = Head()
    outer = nn.Sequential(Head(), head)
    intercept(head, [coarse(), coarse()])
    x = torch.full((1, 4, 4), 0.4)
    assert not torch.equal(outer[0](x), torch.zeros(1, 4, 4))


@pytest.mark.parametrize("again", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy])
def test_what_is_pickled_or_copied_is_still_intercepted(again):
    head = Head()
    intercept(head, [coarse(), coarse()])
    twin = again(nn.Sequential(head))
    assert [name for name, _, _ in intercepted(twin)] == ["0"]
    x = torch.full((1, 4, 4), 1.4)
    assert torch.equal(twin(x), head(x))
    twin[0].products[0].left.scale.fill_(0.1)
    assert not torch.equal(twin(x), head(x))


def fail(*args):
    raise ZeroDivisionError


@pytest.mark.parametrize("first", [False, True])
def test_after_a_hook_that_fails_nothing_is_intercepted(first):
    head = Head()
    intercept(head, [coarse(), coarse()])
    handle = head.register_forward_pre_hook(fail, prepend=first)
    x = torch.full((1, 4, 4), 0.4)
    with pytest.raises(ZeroDivisionError):
        head(x)
    torch.testing.assert_close(x @ x.mT, torch.full((1, 4, 4), 0.64))
    handle.remove()
    assert torch.equal(head(x), torch.zeros(1, 4, 4))


def test_two_threads_run_one_module():
    head = Head()
    intercept(head, [coarse(), coarse()])
    x = torch.randn(64, 4, 4)
    expected = head(x)
    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(y, expected) for y in pool.map(head, [x] * 32))
