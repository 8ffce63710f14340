"""The integers of each bit width."""

import pytest

from vitquant.config.bits import Bits
from vitquant.quantization.quantizers.grid import (
    NO_PREFIX,
    Grid,
    PrefixFormat,
    activation_grid,
    grids,
    prefix_format,
    weight_grid,
)


@pytest.mark.parametrize(
    ("bits", "low", "high"), [(1.58, -1, 1), (2, -2, 1), (3, -4, 3), (4, -8, 7), (8, -128, 127)]
)
def test_weights_are_signed(bits, low, high):
    grid = weight_grid(bits)
    assert (grid.qmin, grid.qmax, grid.levels) == (low, high, high - low + 1)
    assert grid.ternary == (bits == 1.58)


@pytest.mark.parametrize(("bits", "high"), [(2, 3), (4, 15), (8, 255)])
def test_activations_are_unsigned(bits, high):
    grid = activation_grid(bits)
    assert (grid.qmin, grid.qmax, grid.levels) == (0, high, high + 1)
    assert not grid.ternary


def test_sixteen_bits_leave_an_activation_float():
    assert grids(Bits(4, 16)) == (weight_grid(4), None)
    assert grids(Bits(1.58, 8)) == (weight_grid(1.58), activation_grid(8))


def test_sixteen_bits_of_integers_are_signed():
    assert grids(Bits(4, 16, signed=True)) == (weight_grid(4), Grid(16, -32768, 32767))
    assert grids(Bits(4, 16, signed=True))[1].signed
    assert not activation_grid(8).signed


def test_rows_at_the_front_have_a_grid_of_their_own_only_for_more_bits():
    four = activation_grid(4)
    assert (prefix_format(2, four, 8).grid.qmin, prefix_format(2, four, 8).grid.qmax) == (-128, 127)
    assert [prefix_format(2, four, bits) for bits in (None, 0, 4)] == [PrefixFormat(2)] * 3
    assert prefix_format(2, None, 8) == prefix_format(0, four) == NO_PREFIX
