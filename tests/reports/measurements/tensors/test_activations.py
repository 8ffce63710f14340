"""Shares of values and levels, counted by hand."""

import math

import pytest
import torch

from vitquant.quantization.quantizers.affine import QParams
from vitquant.quantization.quantizers.grid import PrefixGrids, activation_grid, signed_grid
from vitquant.reports.measurements.tensors.activations import ActivationSums
from vitquant.reports.measurements.tensors.taps import Entered

GRID = activation_grid(2)


class Nowhere:
    def block_of(self, name):
        return ""


def figures(x, scale, zero_point=0.0, grid=GRID):
    q = QParams(grid, torch.tensor(scale), torch.tensor(zero_point))
    sums = ActivationSums()
    sums(Entered("layer", "input", torch.tensor(x), q, lambda x: x))
    found = sums.result(Nowhere(), images=1)
    return found.rows[0], found.worst[0]


def test_what_is_clipped_and_which_levels_occur():
    # Levels 0, 1, 2, 3; the last is never met. -1 and 9 lie outside, 3.4 does not.
    row, histogram = figures([[0.0, 1.0, 1.2, 2.0, -1.0]], 1.0)
    assert row.clipped == pytest.approx(1 / 5)
    assert row.levels_used == pytest.approx(3 / 4)
    noise = 0.2**2 + 1
    assert row.sqnr_db == pytest.approx(10 * math.log10((1 + 1.44 + 4 + 1) / noise), rel=1e-4)
    assert (histogram.grid_low, histogram.grid_high, histogram.step) == (0, 3, 1)
    assert sum(histogram.counts) > 0
    assert len(histogram.edges) == len(histogram.counts) + 1
    assert histogram.edges[0] == -1
    row, _ = figures([[0.0, 3.4, 9.0, 0.0]], 1.0)
    assert row.clipped == pytest.approx(1 / 4)


def test_a_zero_point_moves_the_grid():
    row, histogram = figures([[-2.0, 1.0]], 1.0, zero_point=2.0)
    assert row.clipped == 0
    assert row.sqnr_db == math.inf
    assert (histogram.grid_low, histogram.grid_high) == (-2, 1)


def test_heads_have_levels_of_their_own():
    # (1, 2 heads, 1, 2): the first has two of four levels, the second one.
    x = [[[[0.0, 1.0]], [[0.0, 0.0]]]]
    row, histogram = figures(x, [[[1.0]], [[10.0]]])
    assert row.levels_used == pytest.approx((2 / 4 + 1 / 4) / 2)
    assert histogram.parts == 2
    assert histogram.step == 10


def test_rows_of_class_tokens_are_not_counted_among_the_levels():
    grids = PrefixGrids(signed_grid(8), GRID, 1)
    x = [[[100.0], [1.0], [0.0]]]
    row, histogram = figures(x, [[1.0], [0.5], [0.5]], grid=grids)
    assert row.clipped == 0
    assert row.bits == 2
    assert row.levels_used == pytest.approx(2 / 4)
    assert histogram.step == 0.5


def test_what_is_no_number_is_worst():
    row, _ = figures([[0.0, float("nan")]], 1.0)
    assert row.sqnr_db == -math.inf
