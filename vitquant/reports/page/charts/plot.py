"""A chart with two axes as SVG, of any width: places are percentages, text keeps its size."""

from collections.abc import Sequence

from vitquant.reports.page.charts.axis import Axis
from vitquant.reports.page.markup import Markup, tag

SERIES = 4
"""How many series have a look of their own: classes ``c0`` to ``c3``."""


def percent(place: float) -> str:
    """A place, from 0 to 100, as a coordinate."""
    return f"{place:.4g}%"


def plot(
    *content: Markup, x: Axis, y: Axis, title: str, description: str, x_title: str, y_title: str
) -> Markup:
    """Axes around ``content``, whose coordinates are percentages from the upper left corner.

    title, description: what a screen reader says in place of the chart.
    """
    axes: list[Markup] = []
    for value, name in y.ticks:
        at = percent(100 - y.place(value))
        axes.append(tag("line", x1="0", x2="100%", y1=at, y2=at, class_="grid"))
        axes.append(tag("text", name, x="-8", y=at, dy=".35em", class_="y"))
    for value, name in x.ticks:
        axes.append(tag("text", name, x=percent(x.place(value)), y="100%", dy="1.5em"))
    axes.append(tag("text", x_title, x="50%", y="100%", dy="2.9em"))
    axes.append(tag("text", y_title, x="0", y="0", dy="-.8em", class_="x"))
    return tag(
        "svg", tag("title", title), tag("desc", description), *axes, *content,
        class_="chart", role="img",
    )  # fmt: skip


def curve(points: Sequence[tuple[float, float]], name: str) -> Markup:
    """A line through places that are percentages from the upper left corner."""
    joined = " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
    return stretched(tag("polyline", points=joined, class_=name))


def stretched(*content: Markup) -> Markup:
    """What is drawn in a square of 100 by 100, stretched to the chart; strokes keep their width."""
    return tag(
        "svg", *content, viewBox="0 0 100 100", preserveAspectRatio="none", aria_hidden="true"
    )


def legend(entries: Sequence[tuple[str, str]], kind: str) -> Markup:
    """Names behind swatches. Each entry is a class and a name. kind: ``lines`` or ``solid``."""
    return tag(
        "div",
        *(
            tag(
                "span",
                tag("svg", tag("line", x1="0", x2="100%", y1="50%", y2="50%", class_=look),
                    aria_hidden="true"),
                name,
            )
            for look, name in entries
        ),
        class_=f"legend {kind}",
    )  # fmt: skip
