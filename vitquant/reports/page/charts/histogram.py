"""Values against the grid that they are rounded to."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from vitquant.reports.page.charts.axis import exact, of_counts
from vitquant.reports.page.charts.plot import legend, percent, plot, stretched
from vitquant.reports.page.figures import figure
from vitquant.reports.page.markup import Markup, tag
from vitquant.reports.page.page import folded
from vitquant.reports.page.tables import table

# Levels that are closer than this, in percent of the width, are not drawn one by one.
_CLOSE = 0.8


class Grid(NamedTuple):
    """low, high: what the lowest and the highest level stand for. step: between two levels."""

    low: float
    high: float
    step: float

    def holds(self, value: float) -> bool:
        """Whether it is not clipped: the outer levels stand for what is half a step beyond too."""
        return self.low - self.step / 2 <= value <= self.high + self.step / 2


def histogram(edges: Sequence[float], counts: Sequence[int], grid: Grid, *, title: str) -> Markup:
    """Bars of counts, on a logarithmic axis, and the levels of a grid. Clipped bars look different.

    edges: of the bins, ascending, one more than ``counts``. The axis covers bins and grid.
    """
    x = exact(min(edges[0], grid.low), max(edges[-1], grid.high))
    y = of_counts(counts)
    bars = []
    bins = list(zip(edges[:-1], edges[1:], counts, strict=True))
    for left, right, count in bins:
        if count:
            top = 100 - y.place(count)
            start, end = x.place(left), x.place(right)
            look = "c0" if grid.holds((left + right) / 2) else "c1"
            note = tag("title", f"{figure(left)} to {figure(right)}: {count:,}")
            bars.append(
                tag(
                    "rect", note, class_=look, x=percent(start), y=percent(top),
                    width=percent(max(end - start, 0.3)), height=percent(100 - top),
                )
            )  # fmt: skip
    clipped = sum(n for left, right, n in bins if not grid.holds((left + right) / 2))
    levels = round((grid.high - grid.low) / grid.step) + 1 if grid.step > 0 else 1
    description = (
        f"{sum(counts):,} values from {figure(edges[0])} to {figure(edges[-1])} on a grid of "
        f"{levels} levels from {figure(grid.low)} to {figure(grid.high)}; about {clipped:,} are "
        f"clipped. Logarithmic axis."
    )
    numbers = [[figure(a), figure(b), f"{n:,}"] for a, b, n in bins if n]
    return tag(
        "figure",
        tag("figcaption", title),
        plot(
            *bars, _levels(grid, x.place, levels), x=x, y=y, title=title, description=description,
            x_title="value", y_title="values in a bin",
        ),
        folded("Numbers", table(["from", "to", "values"], numbers, align="rrr")),
    )  # fmt: skip


def histogram_legend() -> Markup:
    """What the colors of all histograms mean."""
    entries = [("c0", "on the grid"), ("c1", "clipped"), ("level", "levels")]
    return legend(entries, "solid")


def _levels(grid: Grid, place: Callable[[float], float], count: int) -> Markup:
    """Lines at the levels, or at the two ends where the levels are too close."""
    ends = place(grid.low), place(grid.high)
    if count > 1 and (ends[1] - ends[0]) / (count - 1) >= _CLOSE:
        shown = [place(grid.low + i * grid.step) for i in range(count)]
    else:
        shown = list(ends)
    path = "".join(f"M{at:.2f} 0V100" for at in shown)
    return stretched(tag("path", d=path, class_="level"))
