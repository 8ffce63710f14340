"""How a checkpoint was made, and how fast its file runs."""

from vitquant.reports.page.charts.bars import Bar, bars
from vitquant.reports.page.charts.line_chart import Series, line_chart
from vitquant.reports.page.charts.plot import SERIES
from vitquant.reports.page.figures import figure
from vitquant.reports.page.figures import size as in_bytes
from vitquant.reports.page.markup import Markup, join, tag
from vitquant.reports.page.page import Section, folded, paragraph
from vitquant.reports.page.tables import table
from vitquant.reports.sections.making import Curve, Latencies, Latency, Recipe, Training


def training_section(found: Training) -> Section:
    """Losses over steps: in one chart, or in one each where there are many."""
    if len(found.curves) <= SERIES:
        charts = _losses("Loss over steps", found.curves)
    else:
        each = [_losses(curve.name, [curve]) for curve in found.curves]
        charts = tag("div", *each, class_="charts")
    of_each = " for each block" if len(found.curves) > SERIES else ""
    text = paragraph(f"Method {found.method}, {found.steps:,} steps{of_each}.")
    return Section("Training", join(text, charts))


def latency_section(found: Latencies) -> Section:
    """Milliseconds in each runtime, beside the float model."""
    rows = sorted(found.rows, key=lambda row: row.runtime)  # stable: a runtime's models together
    limit = max((row.p90_ms for row in rows), default=1.0)
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    return Section(
        "Latency",
        join(
            paragraph(
                f"Milliseconds for a batch of {found.batch_size}, median and 10th to 90th "
                f"percentile of {found.repeats:,} runs, on {found.device} with {found.threads} "
                f"thread{'' if found.threads == 1 else 's'}; {versions}."
            ),
            table(
                ["runtime and model", "", "ms", "10th to 90th", "speedup", "file"],
                [_latency(row, limit) for row in rows],
                align="lbrrrr",
            ),
        ),
    )


def recipe_section(found: Recipe) -> Section:
    """The commands, and the settings as a file."""
    commands = tag("pre", tag("code", "\n".join(found.commands)))
    settings = folded("Settings, for quantize --recipe", tag("pre", tag("code", found.toml)))
    return Section("Recipe", join(paragraph("Made by:"), commands, settings))


def _losses(title: str, curves: tuple[Curve, ...] | list[Curve]) -> Markup:
    lines = [Series(curve.name, curve.steps, curve.values) for curve in curves]
    return line_chart(lines, title=title, x_title="step", y_title="loss")


def _latency(row: Latency, limit: float) -> list[str]:
    look = "c4" if row.model == "float" else "c0"
    return [
        f"{row.runtime}, {row.model}",
        bars([Bar(row.median_ms, look, row.p10_ms, row.p90_ms)], limit),
        figure(row.median_ms),
        f"{figure(row.p10_ms)} to {figure(row.p90_ms)}",
        "" if row.speedup is None else f"{row.speedup:.2f} ×",
        in_bytes(row.bytes),
    ]
