"""Values over steps, or over blocks."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from vitquant.reports.page.charts.axis import Axis, exact, fit
from vitquant.reports.page.charts.plot import curve, legend, percent, plot
from vitquant.reports.page.figures import figure
from vitquant.reports.page.markup import Markup, tag
from vitquant.reports.page.page import folded
from vitquant.reports.page.tables import table

# Up to so many points, each has a mark. More than so many rows of numbers are thinned.
_MARKED = 40
_ROWS = 60
# Characters of the names of places that fit on a phone.
_CHARACTERS = 36


@dataclass(frozen=True)
class Series:
    """A line: what it is called, and its points."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_title: str,
    y_title: str,
    x_names: Sequence[str] | None = None,
) -> Markup:
    """Up to four lines in one chart, and their numbers below it.

    The vertical axis is logarithmic where the values span a factor of 30. What is not finite has a
    mark on the upper edge.

    x_names: what the places 0, 1, ... are called.
    """
    all_x = [x for line in series for x in line.x]
    y = fit([value for line in series for value in line.y])
    if x_names is not None:
        x = Axis(-0.5, len(x_names) - 0.5, False, _name_ticks(x_names))
    else:
        x = exact(min(all_x, default=0), max(all_x, default=1))
    drawn = [part for i, line in enumerate(series) for part in _draw(line, x, y, f"c{i}")]
    looks = [(f"c{i}", line.name) for i, line in enumerate(series)]
    scale = "Logarithmic axis" if y.is_log else "Linear axis"
    return tag(
        "figure",
        tag("figcaption", title),
        legend(looks, "lines") if len(series) > 1 else None,
        plot(
            *drawn, x=x, y=y, title=title, x_title=x_title, y_title=y_title,
            description=" ".join(_describe(line, x_names) for line in series) + f" {scale}.",
        ),
        folded("Numbers", _numbers(series, x_title, x_names)),
    )  # fmt: skip


def _draw(line: Series, x: Axis, y: Axis, look: str) -> list[Markup]:
    points = list(zip(line.x, line.y, strict=True))
    found = []
    for finite, run in groupby(points, lambda point: math.isfinite(point[1])):
        if finite:
            found.append(curve([(x.place(at), 100 - y.place(value)) for at, value in run], look))
            continue
        note = tag("title", f"{line.name}: not finite")
        found += [
            tag("text", "×", note, x=percent(x.place(at)), y="0", class_="wrong") for at, _ in run
        ]
    for at, value in points if len(points) <= _MARKED else ():
        if math.isfinite(value):
            note = tag("title", f"{line.name}: {figure(value)}")
            place = {"cx": percent(x.place(at)), "cy": percent(100 - y.place(value))}
            found.append(tag("circle", note, r="3.5", class_=look, **place))
    return found


def _describe(line: Series, names: Sequence[str] | None) -> str:
    finite = [(v, p) for p, v in zip(line.x, line.y, strict=True) if math.isfinite(v)]
    if not finite:
        return f"{line.name}: no finite value."
    (low, low_at), (high, high_at) = min(finite), max(finite)
    return (
        f"{line.name}: from {figure(low)} at {_place(low_at, names)} to {figure(high)} at "
        f"{_place(high_at, names)}."
    )


def _place(place: float, names: Sequence[str] | None) -> str:
    return figure(place) if names is None else names[int(place)]


def _numbers(series: Sequence[Series], x_title: str, names: Sequence[str] | None) -> Markup:
    values = [dict(zip(line.x, line.y, strict=True)) for line in series]
    places = sorted({place for line in series for place in line.x})
    every = -(-len(places) // _ROWS)
    kept = [p for i, p in enumerate(places) if i % every == 0 or p == places[-1]]
    rows = [
        [_place(p, names), *(figure(line[p]) if p in line else "" for line in values)] for p in kept
    ]
    return table([x_title, *(line.name for line in series)], rows, align="l" + "r" * len(series))


def _name_ticks(names: Sequence[str]) -> tuple[tuple[float, str], ...]:
    """The numbers in the names of blocks, as many as fit."""
    short = [".".join(re.findall(r"(?<=\.)\d+", f".{name}")) for name in names]
    if len(set(short)) < len(names) or "" in short:
        short = [str(i) for i in range(len(names))]
    every = -(-len(names) * (max(map(len, short), default=0) + 1) // _CHARACTERS)
    return tuple((float(i), name) for i, name in enumerate(short) if i % every == 0)
