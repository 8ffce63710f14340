"""From a value to a place on an axis, and the values that an axis names."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from vitquant.reports.page.figures import figure, power_of_ten

# A range that spans more than this factor has a logarithmic axis: below it, the small values of a
# linear one can still be read.
_LOGARITHMIC_FROM = 30.0
_TICKS = 5
# Up to so many decades, a logarithmic axis names 2 and 5 too.
_FINE = 3
_ROUNDING = 1 + 1e-9


@dataclass(frozen=True)
class Axis:
    """low, high: its ends. ticks: values and what they are called."""

    low: float
    high: float
    is_log: bool
    ticks: tuple[tuple[float, str], ...]

    def place(self, value: float) -> float:
        """From 0 at the low end to 100 at the high end; what lies beyond an end is put on it."""
        low, high = self.low, self.high
        if self.is_log:
            value, low, high = math.log(max(value, low)), math.log(low), math.log(high)
        return 100 * min(1.0, max(0.0, (value - low) / (high - low)))


def fit(values: Iterable[float]) -> Axis:
    """An axis from 0, or a logarithmic one, that ends on ticks around the finite values.

    It is logarithmic where all values are positive and the largest is 30 times the smallest.
    """
    found = [value for value in values if math.isfinite(value)] or [1.0]
    low, high = min(found), max(found)
    if low > 0 and high / low >= _LOGARITHMIC_FROM:
        return _logarithmic(low, high)
    low, high = min(low, 0.0), max(high, 0.0)
    high = high if high > low else 1.0
    step = _step(high - low)
    low = step * math.floor(low / step)
    high = step * math.ceil(high / step - 1e-9)
    return Axis(low, high, False, _multiples(step, low, high))


def exact(low: float, high: float) -> Axis:
    """A linear axis that ends where it is told to, with ticks between."""
    if high <= low:
        low, high = low - 0.5, low + 0.5
    return Axis(low, high, False, _multiples(_step(high - low), low, high))


def of_counts(counts: Iterable[int]) -> Axis:
    """A logarithmic axis for counts, whose low end is below 1: a bar of 1 can be seen."""
    last = max(1, math.ceil(math.log10(max(*counts, 1))))
    return Axis(0.5, 10.0**last, True, _named(_decades(0, last)))


def _logarithmic(low: float, high: float) -> Axis:
    """Its ends are 1, 2 or 5 times a power of ten."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    fine = [n * 10.0**exponent for exponent in range(first, last + 1) for n in (1, 2, 5)]
    start = max(value for value in fine if value <= low * _ROUNDING)
    end = min(value for value in fine if value * _ROUNDING >= high)
    marks = fine if last - first <= _FINE else _decades(first, last)
    return Axis(start, end, True, _named([value for value in marks if start <= value <= end]))


def _step(span: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten of which few fill a span."""
    power = 10.0 ** math.floor(math.log10(span / _TICKS))
    return next(power * n for n in (1, 2, 5, 10) if power * n * _TICKS >= span / _ROUNDING)


def _multiples(step: float, low: float, high: float) -> tuple[tuple[float, str], ...]:
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple((step * n, figure(step * n)) for n in range(first, last + 1))


def _decades(first: int, last: int) -> list[float]:
    every = math.ceil((last - first) / (_TICKS + 1))
    return [10.0**exponent for exponent in range(first, last + 1, every)]


def _named(values: list[float]) -> tuple[tuple[float, str], ...]:
    return tuple((value, _name(value)) for value in values)


def _name(value: float) -> str:
    exponent = round(math.log10(value))
    is_power = math.isclose(value, 10.0**exponent)
    return power_of_ten(exponent) if is_power and not -3 < exponent < 4 else figure(value)
