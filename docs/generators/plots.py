"""Pictures of docs/results, from the same rows as the tables. They need matplotlib.

Drawing depends on matplotlib's release and on fonts, so ``--check`` compares what was drawn and not
how: each SVG holds the SHA-256 of its data.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from generators.mixed_bits import curve
from generators.rows import (
    BITS,
    CALIB,
    MODELS,
    RESULTS,
    float_group,
    group,
    groups,
    label,
    over_samples,
)

COLORS = {
    "rtn": "#888888",
    "repq": "#b8860b",
    "dfq": "#2e8b57",
    "block": "#9467bd",
    "joint": "#1f4e9e",
    "uniform": "#888888",
    "mixed": "#1f4e9e",
}
Points = list[tuple[float, float, str]]
Picture = dict[str, dict[str, Points]]
"""Panels by their titles, lines by their names, points as (x, y, text beside the point)."""


def size() -> Picture:
    """Top-1 over the size of the file, for every width and method with default options."""
    picture: Picture = {}
    for model, called in MODELS.items():
        panel = picture.setdefault(called, {})
        for method in COLORS:
            found = groups(model, method=method, options="", calib=CALIB)
            most = max((int(g.steps) for g in found), default=0)
            points = [
                (g.mean("bytes", 1e-6), g.mean("top1", 100), label(g.bits))
                for g in sorted(found, key=lambda g: BITS.index(g.bits))
                if int(g.steps) == most
            ]
            if points:
                panel[f"{method}, {most} steps" if most else method] = points
        own = float_group(model)
        panel["float"] = [(own.mean("bytes", 1e-6), own.mean("top1", 100), "float")]
    return picture


def steps() -> Picture:
    """Top-1 at W4A4 over the number of training steps, scale search alone at the left."""
    lines = {}
    for model, called in MODELS.items():
        found = groups(model, bits="w4a4", method="joint", options="", calib=CALIB)
        points = [(float(g.steps), g.mean("top1", 100), "") for g in found]
        untrained = group(model, bits="w4a4", method="rtn", options="", calib=CALIB)
        if untrained:
            points.append((0, untrained.mean("top1", 100), "rtn"))
        lines[called] = sorted(points)
    return {"W4A4, joint": lines}


def samples() -> Picture:
    """Top-1 and agreement at W4A4 over the number of calibration images, 200 steps."""
    found = over_samples(next(iter(MODELS)))
    columns = {"top-1": "top1", "agreement with float": "agreement"} if found else {}
    own = {
        name: [(float(g.samples), g.mean(column, 100), "") for g in found]
        for name, column in columns.items()
    }
    return {"DeiT-Tiny, W4A4, joint, 200 steps": own}


PICTURES: dict[str, tuple[Callable[[], Picture], str, str]] = {
    "size.svg": (size, "checkpoint, MB", "top-1 %"),
    "steps.svg": (steps, "training steps of 16 images", "top-1 %"),
    "samples.svg": (samples, "calibration images", "%"),
    "mixed-bits.svg": (curve, "checkpoint, MB", "agreement with float, %"),
}
TICKS = {"size.svg": [1.5, 2, 3, 4, 6, 10, 20], "samples.svg": [32, 100, 300, 1000]}
"""Logarithmic axes, and where they have a number."""


def digest(name: str) -> str:
    """The SHA-256 of a picture's data."""
    return hashlib.sha256(json.dumps(PICTURES[name][0]()).encode()).hexdigest()


def is_current(name: str) -> bool:
    """Whether the committed picture was drawn from today's rows."""
    path = RESULTS / name
    return path.exists() and digest(name) in path.read_text(encoding="utf-8")


def draw(name: str) -> Path:
    """Write one picture."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    data, x_label, y_label = PICTURES[name]
    panels = data()
    settings = {"svg.hashsalt": name, "svg.fonttype": "none", "font.size": 9, "axes.grid": True}
    with plt.rc_context(settings | {"grid.alpha": 0.3, "axes.spines.top": False}):
        figure, axes = plt.subplots(
            1, len(panels), figsize=(4.6 * len(panels), 3.6), squeeze=False, layout="constrained"
        )
        for axis, (title, lines) in zip(axes[0], panels.items(), strict=True):
            if name in TICKS:
                _log_ticks(axis, TICKS[name])
            _draw_panel(axis, title, lines)
            axis.set(xlabel=x_label, ylabel=y_label)
        metadata = {"Date": None, "Description": f"data {digest(name)}"}
        figure.savefig(RESULTS / name, format="svg", metadata=metadata)
        plt.close(figure)
    return RESULTS / name


def _draw_panel(axis, title: str, lines: dict[str, Points]) -> None:
    for name, points in lines.items():
        x, y, _ = zip(*points, strict=True)
        color = COLORS.get(name.split(",")[0], "black" if name == "float" else None)
        axis.plot(x, y, marker="o", markersize=4, linewidth=1.2, label=name, color=color)
    # Each text once, above the highest of its points.
    every = [point for points in lines.values() for point in points]
    for text in sorted({point[2] for point in every if point[2]}):
        top = max((point for point in every if point[2] == text), key=_height)
        axis.annotate(
            text, top[:2], textcoords="offset points", xytext=(0, 6), fontsize=7, ha="center"
        )
    axis.margins(y=0.1)
    axis.set_title(title, fontsize=10)
    axis.legend(fontsize=7, frameon=False, loc="lower right")


def _height(point: tuple[float, float, str]) -> float:
    return point[1]


def _log_ticks(axis, points: list[float]) -> None:
    """A logarithmic axis with a plain number at each of the points."""
    axis.set_xscale("log")
    axis.set_xticks(points, [f"{point:g}" for point in points])
    axis.minorticks_off()
