"""Ticks are round, and values lie between the ends."""

import pytest

from vitquant.reports.page.charts.axis import exact, fit, of_counts

_NAN = float("nan")


def names(axis):
    return [name for _, name in axis.ticks]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.2, 0.9], ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        ([-3, 40], ["−10", "0", "10", "20", "30", "40"]),
        ([0.7], ["0", "0.2", "0.4", "0.6", "0.8"]),
        ([], ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        ([0.0, 0.0], ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
    ],
)
def test_linear_axes_hold_zero(values, shown):
    axis = fit(values)
    assert not axis.is_log
    assert names(axis) == shown


def test_a_wide_range_is_logarithmic():
    assert names(fit([0.04, 1.4])) == ["0.02", "0.05", "0.1", "0.2", "0.5", "1", "2"]
    assert names(fit([0.01, 5.0])) == ["0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1", "2", "5"]
    assert names(fit([1e-8, 1e4])) == ["10⁻⁸", "10⁻⁶", "10⁻⁴", "0.01", "1", "100", "10⁴"]
    axis = fit([1e-8, 1.0])
    assert [axis.place(v) for v in (1e-9, 1e-8, 1e-4, 1.0)] == pytest.approx([0, 0, 50, 100])


def test_zero_or_less_makes_it_linear():
    assert not fit([0.0, 1e6]).is_log
    assert not fit([-1.0, 1e6]).is_log


def test_what_is_not_finite_counts_for_nothing():
    assert fit([0.2, _NAN, float("inf"), 0.9]) == fit([0.2, 0.9])


def test_exact_ends():
    axis = exact(0, 792)
    assert (axis.low, axis.high, names(axis)) == (0, 792, ["0", "200", "400", "600"])
    assert exact(3, 3).place(3) == 50


@pytest.mark.parametrize(("most", "high"), [(0, 10), (1, 10), (10, 10), (11, 100)])
def test_a_count_of_one_can_be_seen(most, high):
    axis = of_counts([0, most])
    assert axis.high == high
    assert axis.place(1) > 5
