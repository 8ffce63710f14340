"""The quantized product: values, gradients, and what is kept for the backward pass."""

import pytest
import torch
from torch.overrides import TorchFunctionMode

from vitquant.quantization.quantizers.affine import QParams
from vitquant.quantization.quantizers.grid import PrefixGrids, activation_grid, signed_grid
from vitquant.quantization.quantizers.matmul import quantized_matmul

# Operands by what they stand for in a transformer.
OPERANDS = {
    "matrices": lambda randn: (randn(9, 6), randn(6, 5)),
    "a linear layer": lambda randn: (randn(2, 7, 6), randn(5, 6).mT),
    "windows through a linear layer": lambda randn: (randn(2, 3, 7, 6), randn(5, 6).mT),
    "queries and keys": lambda randn: (randn(2, 3, 7, 6), randn(2, 3, 7, 6).mT),
    "heads not yet moved together": lambda randn: (
        randn(2, 7, 3, 6).permute(0, 2, 1, 3),
        randn(2, 7, 3, 6).permute(0, 2, 3, 1),
    ),
    "a batch": lambda randn: (randn(4, 7, 6), randn(4, 6, 5)),
}


@pytest.mark.parametrize("case", OPERANDS)
@pytest.mark.parametrize("quantize", [(True, True), (True, False), (False, True), (False, False)])
def test_values_and_gradients_are_those_of_the_composition(
    case, quantize, naive, randn, quantizer, gradients
):
    a, b = (x.detach().requires_grad_() for x in OPERANDS[case](randn))
    a_grid = quantizer(4, channels=6) if quantize[0] else None
    b_grid = quantizer(3, scale=0.4, zero_point=3.0) if quantize[1] else None
    leaves = [a, b]
    leaves += [p for grid in (a_grid, b_grid) for p in (grid or ())[1:] if p is not None]
    expected = naive(a, a_grid) @ naive(b, b_grid)
    ours = quantized_matmul(a, b, a_grid, b_grid)
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)
    for got, wanted in zip(gradients(ours, *leaves), gradients(expected, *leaves), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-10)


def test_scales_of_heads_are_those_of_a_composition(naive, randn, quantizer, gradients):
    a, b = (x.requires_grad_() for x in (randn(2, 3, 7, 6), randn(2, 3, 6, 5)))
    scale = torch.tensor([0.1, 0.2, 0.5], dtype=a.dtype).view(3, 1, 1).requires_grad_()
    a_grid = quantizer(4)._replace(scale=scale)
    leaves = [a, b, scale, a_grid.zero_point]
    expected = naive(a, a_grid) @ b
    ours = quantized_matmul(a, b, a_grid, None)
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)
    for got, wanted in zip(gradients(ours, *leaves), gradients(expected, *leaves), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-10)


def test_rows_with_a_grid_of_their_own_are_as_if_alone(randn, gradients):
    a, b = randn(4, 7, 6).requires_grad_(), randn(6, 5)
    prefix, others, zero_point = (
        torch.tensor(value, dtype=a.dtype, requires_grad=True)
        for value in ([[0.02], [0.03]], 0.4, 3.0)
    )
    few, many = activation_grid(3), signed_grid(6)
    scale = torch.cat([prefix, others.expand(5, 1)])
    q = QParams(PrefixGrids(many, few, 2), scale, zero_point)
    ours = quantized_matmul(a, b, q, None)
    parts = [
        quantized_matmul(a[:, :2], b, QParams(many, prefix, torch.zeros_like(zero_point)), None),
        quantized_matmul(a[:, 2:], b, QParams(few, others, zero_point), None),
    ]
    expected = torch.cat(parts, 1)
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)
    leaves = (a, prefix, others, zero_point)
    for got, wanted in zip(gradients(ours, *leaves), gradients(expected, *leaves), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("trained", ["operands", "grids"])
def test_some_leaves_may_be_frozen(trained, naive, randn, quantizer, gradients):
    a, b = randn(2, 4, 6), randn(6, 3)
    a_grid, b_grid = quantizer(4, 6), quantizer(4)
    leaves = (a, b) if trained == "operands" else (a_grid.scale, b_grid.zero_point)
    for x in (a, b, *a_grid[1:], *b_grid[1:3]):
        x.requires_grad_(any(x is leaf for leaf in leaves))
    got = gradients(quantized_matmul(a, b, a_grid, b_grid), *leaves)
    wanted = gradients(naive(a, a_grid) @ naive(b, b_grid), *leaves)
    for ours, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)


def test_only_the_float_operands_are_kept(naive, randn, quantizer):
    a, b = randn(2, 3, 50, 6).requires_grad_(), randn(2, 3, 6, 50).requires_grad_()
    a_grid, b_grid = quantizer(4, 6), quantizer(4)

    def kept(function):
        storages = {}

        def pack(x):
            storages[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            function()
        return sum(storages.values())

    operands = sum(x.numel() * x.element_size() for x in (a, b))
    ours = kept(lambda: quantized_matmul(a, b, a_grid, b_grid))
    # A scale and a zero point of 8 bytes for each operand, and one multiplier.
    assert ours <= operands + 8 * (4 + 6)
    assert kept(lambda: naive(a, a_grid) @ naive(b, b_grid)) > 2 * operands


def test_no_interception_sees_the_product(randn, quantizer):
    class Refuse(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            assert func is not torch.matmul
            return func(*args, **(kwargs or {}))

    with Refuse():
        quantized_matmul(randn(3, 6), randn(6, 3), quantizer(4), quantizer(4))
