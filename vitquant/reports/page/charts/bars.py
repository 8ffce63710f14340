"""Bars in the cells of a table. The numbers stand beside them: a screen reader skips the bars."""

from collections.abc import Sequence
from typing import NamedTuple

from vitquant.reports.page.charts.plot import percent
from vitquant.reports.page.markup import Markup, tag

_HEIGHT = 0.9  # rem, of one bar


class Bar(NamedTuple):
    """A value, where it is known its interval, and the class of its look."""

    value: float
    look: str = "c0"
    low: float | None = None
    high: float | None = None


def bars(values: Sequence[Bar], limit: float) -> Markup:
    """Bars one below the other, from 0 to ``limit``, with whiskers where there is an interval."""
    height = 100 / len(values)
    parts = []
    for i, bar in enumerate(values):
        parts.append(
            tag(
                "rect", class_=bar.look, x="0", y=percent(i * height + height / 10),
                width=_share(bar.value, limit), height=percent(height * 0.8),
            )
        )  # fmt: skip
        if bar.low is not None and bar.high is not None:
            middle = percent((i + 0.5) * height)
            low, high = _share(bar.low, limit), _share(bar.high, limit)
            ends = {"y1": percent((i + 0.25) * height), "y2": percent((i + 0.75) * height)}
            parts += [
                tag("line", x1=low, x2=high, y1=middle, y2=middle, class_="whisker"),
                tag("line", x1=low, x2=low, **ends, class_="whisker"),
                tag("line", x1=high, x2=high, **ends, class_="whisker"),
            ]
    return _box(parts, len(values))


def stacked(values: Sequence[tuple[str, float]], limit: float) -> Markup:
    """Values one behind the other, from 0 to ``limit``. Each is a text, shown on hovering, and a
    value."""
    parts, start = [], 0.0
    for i, (name, value) in enumerate(values):
        if value > 0:
            parts.append(
                tag(
                    "rect", tag("title", name), class_=f"c{i}", x=_share(start, limit), y="0",
                    width=_share(value, limit), height="100%",
                )
            )  # fmt: skip
        start += value
    return _box(parts, 1)


def _box(parts: Sequence[Markup], lines: int) -> Markup:
    height = f"height:{lines * _HEIGHT:g}rem"
    return tag("svg", *parts, class_="bars", aria_hidden="true", style=height)


def _share(value: float, limit: float) -> str:
    return percent(100 * min(1.0, max(0.0, value / limit))) if limit > 0 else "0%"
