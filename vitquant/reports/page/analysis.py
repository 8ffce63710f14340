"""The page that ``vitquant analyze`` writes."""

from itertools import groupby

from vitquant.quantization.bit_allocation.sensitivity import Column
from vitquant.reports.analysis import Analysis
from vitquant.reports.page.charts.heat_map import heat_map
from vitquant.reports.page.markup import Markup, join
from vitquant.reports.page.page import Section, page, paragraph
from vitquant.reports.page.tables import table

_TITLES = {
    "linear": "Layers and attention matmuls",
    "group": "The same place in every block",
    "block": "Transformer blocks",
}


def analysis_page(analysis: Analysis) -> str:
    """A page of HTML with heat maps of parts against widths, bytes and time."""
    name = analysis.model.identity.name
    lead = (
        f"{analysis.loss} from the float model, on {analysis.images} images of {analysis.source}, "
        f"without labels. Widths: {', '.join(map(str, analysis.settings.bits))}."
    )
    sections = [Section("Each part alone", _maps(analysis, spared=False))]
    if analysis.settings.spared:
        sections.append(Section("Everything but one part", _maps(analysis, spared=True)))
    sections.append(Section("Bytes and time", _sizes(analysis)))
    return page(f"What quantizing {name} costs", sections, lead=lead)


def _maps(analysis: Analysis, *, spared: bool) -> Markup:
    columns = [column for column in analysis.columns if column.spared == spared]
    said = "This part alone is quantized, all others stay float."
    if spared:
        whole = ", ".join(f"{column.whole.divergence:.3g} at {column.bits}" for column in columns)
        said = (
            f"Everything is quantized but this part: what is left of the loss with nothing spared, "
            f"which is {whole}. Where little is left, more bits for the part help most. "
            f"Differences of some percent are chance."
        )
    # Large parts first: there are few of them.
    kinds = list(reversed(_TITLES))
    order = sorted(enumerate(analysis.parts), key=lambda pair: kinds.index(_title(pair[1].kind)))
    maps = [
        heat_map(
            [part.name for _, part in own],
            [str(column.bits) for column in columns],
            [[_value(column, i) for column in columns] for i, _ in own],
            unit=f"part of the {analysis.loss} that is left" if spared else analysis.loss,
            caption=_TITLES[kind],
            row_title="part",
        )
        for kind, group in groupby(order, key=lambda pair: _title(pair[1].kind))
        for own in [list(group)]
    ]
    return join(paragraph(said), *maps)


def _value(column: Column, i: int) -> float:
    """The loss of a part alone; of all others, in units of the loss of everything."""
    loss = column.losses[i].divergence
    return loss / max(column.whole.divergence, 1e-12) if column.spared else loss


def _title(kind: str) -> str:
    return kind if kind in _TITLES else "linear"


def _sizes(analysis: Analysis) -> Markup:
    head = ["part", *(f"{bits}, bytes" for bits in analysis.settings.bits), "time, %"]
    rows = []
    for part, sizes in zip(analysis.parts, analysis.bytes, strict=True):
        share = analysis.time_share(part)
        time = "" if share is None else f"{100 * share:.1f}"
        rows.append([part.name, *(f"{size:,}" for size in sizes), time])
    other = analysis.time.get("other")
    said = "The time was not measured."
    if other is not None:
        said = (
            f"Shares of the time of an exported ONNX file, in one thread of ONNX Runtime. Softmax, "
            f"GELU, normalization and what else is float take {100 * other:.1f}%."
        )
    shown = table(head, rows, align="l" + "r" * (len(head) - 1), tall=True)
    return join(paragraph(said), shown)
