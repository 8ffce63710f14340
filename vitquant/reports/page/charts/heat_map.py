"""Many values as a table of colored cells."""

import math
from collections.abc import Sequence
from itertools import groupby

from vitquant.reports.page.figures import figure
from vitquant.reports.page.markup import Markup, breakable, tag
from vitquant.reports.page.page import scroll
from vitquant.reports.page.style import HEAT

_STEPS = len(HEAT["light"])
# Values further below the largest have the lowest color: they would take it from the others.
_DECADES = 6
# More rows than this scroll in their own box, below the names of the columns.
_TALL = 25


def heat_map(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
    *,
    unit: str,
    caption: str = "",
    row_title: str = "",
    groups: Sequence[str] | None = None,
    chosen: Sequence[int | None] | None = None,
    chosen_means: str = "chosen",
) -> Markup:
    """A table whose cells have a color by the logarithm of their value, and the value as text.

    Args:
        rows, columns: their names.
        values: one sequence for each row, one value for each column, at least 0. None: was not
            measured. What is not finite is shown as such.
        unit: what a value is, for the legend.
        caption: above the table. row_title: what a row is.
        groups: the group of each row; rows of one group that follow each other have a heading.
        chosen: for each row, the index of the column whose cell has a frame; None for no cell.
        chosen_means: what the frame means.

    Raises:
        ValueError: the lengths do not fit each other.
    """
    low, high = _range(values)
    titles = groups if groups is not None else [""] * len(rows)
    frames = chosen if chosen is not None else [None] * len(rows)
    bodies = []
    lines = zip(titles, rows, values, frames, strict=True)
    for title, group in groupby(lines, key=lambda line: line[0]):
        trs = [
            tag(
                "tr",
                tag("th", breakable(name), scope="row"),
                *(
                    _cell(value, low, high, is_chosen=index == frame)
                    for index, (_, value) in enumerate(zip(columns, row, strict=True))
                ),
            )
            for _, name, row, frame in group
        ]
        heading = tag("th", title, scope="rowgroup", colspan=len(columns) + 1, class_="group")
        bodies.append(tag("tbody", tag("tr", heading) if title else None, *trs))
    head = tag("tr", tag("th", row_title), *(tag("th", name, scope="col") for name in columns))
    table = tag("table", tag("thead", head), *bodies, class_="heat")
    return tag(
        "figure",
        tag("figcaption", caption) if caption else None,
        _legend(unit, low, high, chosen_means if chosen is not None else None),
        scroll(table, caption or unit, tall=len(rows) > _TALL),
    )


def _range(values: Sequence[Sequence[float | None]]) -> tuple[float, float]:
    """The smallest and largest value that have a color of their own."""
    found = [v for row in values for v in row if v is not None and math.isfinite(v) and v > 0]
    if not found:
        return 1.0, 1.0
    return max(min(found), max(found) * 10.0**-_DECADES), max(found)


def _cell(value: float | None, low: float, high: float, *, is_chosen: bool) -> Markup:
    if value is None:
        return tag("td", "–", class_="none")
    name = f"s{_step(value, low, high)}" if math.isfinite(value) else "wrong"
    return tag("td", figure(value), class_=f"{name} chosen" if is_chosen else name)


def _step(value: float, low: float, high: float) -> int:
    if value <= low or low == high:
        return 0
    return min(_STEPS - 1, int(_STEPS * math.log(value / low) / math.log(high / low)))


def _legend(unit: str, low: float, high: float, frame: str | None) -> Markup:
    swatches = [tag("i", class_=f"s{i}") for i in range(_STEPS)]
    frame_note = tag("span", tag("i", class_="chosen"), frame) if frame else None
    scale = tag("span", figure(low), *swatches, figure(high))
    return tag("div", tag("span", unit, ", logarithmic"), scale, frame_note, class_="steps")
