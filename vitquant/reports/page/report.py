"""The page of ``vitquant report``."""

from collections.abc import Callable
from typing import TypeVar

from vitquant.reports.page.figures import percent, size
from vitquant.reports.page.markup import Markup, join, tag
from vitquant.reports.page.page import Section, page
from vitquant.reports.page.sections import accuracy, calibration, errors, making, model
from vitquant.reports.report import Report

T = TypeVar("T")

_NAMES = {
    "training": "loss over steps",
    "calibration": "calibration images",
    "accuracy": "accuracy",
    "changed": "images whose top-1 prediction changed",
    "blocks": "error block by block",
    "collapse": "where it collapses",
    "activations": "activations against their grids",
    "corruptions": "accuracy under corruption",
    "latencies": "latency",
}


def render(report: Report) -> str:
    """A page of HTML that needs no other file; what was not measured is listed at its end."""
    sections = [
        *_made(report.collapse, errors.collapse_section),
        *_made(report.model, model.model_section),
        *_made(report.size, model.size_section),
        *_made(report.accuracy, accuracy.accuracy_section),
        *_made(report.blocks, errors.blocks_section),
        *_made(report.activations, errors.activations_section),
        *_made(report.changed, accuracy.changed_section),
        *_made(report.corruptions, accuracy.corruption_section),
        *_made(report.latencies, making.latency_section),
        *_made(report.training, making.training_section),
        *_made(report.calibration, calibration.calibration_section),
        *_made(report.recipe, making.recipe_section),
    ]
    if report.missing:
        sections.append(_missing(report.missing))
    lead = join(_key_figures(report), *(tag("p", note) for note in report.notes))
    bits = f"{report.model.bits}{', mixed' if report.model.is_mixed else ''}"
    return page(f"{report.model.name} {bits}", sections, lead=lead)


def _made(found: T | None, make: Callable[[T], Section]) -> list[Section]:
    return [] if found is None else [make(found)]


def _key_figures(report: Report) -> Markup:
    found = [("size", size(report.size.bytes))]
    if report.size.bytes:
        found.append(("smaller than float", f"{report.size.float_bytes / report.size.bytes:.1f} ×"))
    accuracy = report.accuracy
    if accuracy is not None and accuracy.quantized.top1 is not None:
        found.append(("top-1", percent(accuracy.quantized.top1.estimate)))
        if accuracy.reference is not None and accuracy.reference.top1 is not None:
            found.append(("top-1, float", percent(accuracy.reference.top1.estimate)))
    if accuracy is not None and accuracy.agreement is not None:
        found.append(("agreement", percent(accuracy.agreement.estimate)))
    rows = report.latencies.rows if report.latencies is not None else ()
    found += [
        (f"speedup, {r.runtime}", f"{r.speedup:.2f} ×") for r in rows if r.speedup is not None
    ]
    tiles = [tag("div", tag("dt", name), tag("dd", value)) for name, value in found]
    return tag("dl", *tiles, class_="tiles")


def _missing(why: dict[str, str]) -> Section:
    """A line for each reason, with all that it holds for."""
    names: dict[str, list[str]] = {}
    for name, reason in why.items():
        names.setdefault(reason, []).append(_NAMES.get(name, name))
    reasons = [tag("li", f"{', '.join(found)}: {reason}.") for reason, found in names.items()]
    return Section("Not in this report", tag("ul", *reasons))
