"""Where a quantized model departs from its float model."""

import math

from vitquant.reports.page.charts.bars import Bar, bars
from vitquant.reports.page.charts.heat_map import heat_map
from vitquant.reports.page.charts.histogram import Grid, histogram, histogram_legend
from vitquant.reports.page.charts.line_chart import Series, line_chart
from vitquant.reports.page.figures import figure, fixed, percent
from vitquant.reports.page.markup import Markup, join, tag
from vitquant.reports.page.page import Section, folded, paragraph
from vitquant.reports.page.tables import facts, table
from vitquant.reports.sections.errors import (
    Activation,
    ActivationHistogram,
    Activations,
    BlockErrors,
    Collapse,
    TensorError,
)

# As large as the float model's features themselves would be an error of 1.
_HALF = 0.5


def collapse_section(found: Collapse) -> Section:
    """What is lost, and the first block and tensor where it is."""
    measure, side = (
        ("agreement with the float model", "below")
        if found.measure == "agreement"
        else ("relative error of the outputs", "above")
    )
    shown = percent if found.measure == "agreement" else figure
    tensor = found.tensor
    where = facts(
        [
            ("first block that is lost", found.block or "no single one"),
            ("first tensor that is lost", "no single one" if tensor is None else _tensor(tensor)),
        ]
    )
    alarm = tag(
        "div",
        paragraph(
            f"The model has collapsed: its {measure} is {shown(found.value)} on {found.images:,} "
            f"images, {side} the limit of {shown(found.limit)}."
        ),
        where,
        class_="alarm",
        role="note",
    )
    parts = [alarm, paragraph(found.how) if found.how else None]
    if found.tensors:
        parts.append(folded("Error of each tensor alone", _tensors(found)))
    return Section("Where it collapses", join(*parts))


def blocks_section(found: BlockErrors) -> Section:
    """Errors of features along the network."""
    names = [block.name for block in found.blocks]
    places = list(range(len(names)))
    chart = line_chart(
        [
            Series("in the quantized network", places, [b.relative_error for b in found.blocks]),
            Series("of the block alone", places, [b.own_relative_error for b in found.blocks]),
        ],
        title="Relative error of what each block puts out",
        x_title="block",
        y_title="relative error",
        x_names=names,
    )
    cosines = table(
        ["block", "cosine", "cosine, block alone"],
        [[b.name, fixed(b.cosine, 4), fixed(b.own_cosine, 4)] for b in found.blocks],
        align="lrr",
    )
    return Section(
        "Error block by block",
        join(
            paragraph(
                f"The features of the quantized model against those of the float model, on "
                f"{found.images:,} images: the root mean square of the difference, divided by that "
                f"of the float features. A block alone is fed the float model's features, so its "
                f"error is what it adds by itself."
            ),
            paragraph(_start(found)) if found.blocks else None,
            chart,
            folded("Cosines", cosines),
        ),
    )


def activations_section(found: Activations) -> Section:
    """Histograms of the worst activations, and figures of all."""
    return Section(
        "Activations against their grids",
        join(
            paragraph(
                f"Values on {found.images:,} images as they enter their quantizers. SQNR is the "
                f"signal-to-quantization-noise ratio; the activations below have the lowest."
            ),
            histogram_legend(),
            tag("div", *map(_histogram, found.worst), class_="charts"),
            folded(f"All activations: {len(found.rows):,}", _activations(found.rows)),
        ),
    )


def _tensor(found: TensorError) -> str:
    return f"{found.tensor} of {found.name}, relative error {figure(found.relative_error)}"


def _tensors(found: Collapse) -> Markup:
    """Layers and matmuls as rows, their tensors as columns."""
    columns = list(dict.fromkeys(error.tensor for error in found.tensors))
    rows: dict[tuple[str, str], list[float | None]] = {}
    for error in found.tensors:
        row = rows.setdefault((error.block, error.name), [None] * len(columns))
        row[columns.index(error.tensor)] = error.relative_error
    first = found.tensor
    return heat_map(
        [name for _, name in rows],
        columns,
        list(rows.values()),
        unit="relative error of the output with this tensor alone quantized",
        row_title="layer or matmul",
        groups=[block or "outside of blocks" for block, _ in rows],
        chosen=[
            columns.index(first.tensor) if first is not None and name == first.name else None
            for _, name in rows
        ],
        chosen_means="first that is lost",
    )


def _start(found: BlockErrors) -> str:
    """Where the error comes from, in a sentence or two."""
    over = next((b for b in found.blocks if not b.relative_error < _HALF), None)
    most = max(found.blocks, key=lambda block: _order(block.own_relative_error))
    passed = (
        "It stays below half of the features' own size in all blocks."
        if over is None
        else f"It first passes half of the features' own size in {over.name}."
    )
    return f"{passed} The block that adds most by itself is {most.name}."


def _order(value: float) -> float:
    return float("inf") if math.isnan(value) else value


def _histogram(found: ActivationHistogram) -> Markup:
    one = found.activation
    parts = "" if found.parts == 1 else f", widest of {found.parts} grids"
    title = (
        f"{one.tensor} of {one.name}: {one.bits} bits, SQNR {_decibels(one.sqnr_db)}, "
        f"{percent(one.clipped)} clipped, {percent(one.levels_used)} of levels used{parts}"
    )
    if not all(map(math.isfinite, (*found.edges, found.grid_low, found.grid_high))):
        return tag("figure", tag("figcaption", title), paragraph("Some values are not finite."))
    grid = Grid(found.grid_low, found.grid_high, found.step)
    return histogram(found.edges, found.counts, grid, title=title)


def _activations(rows: tuple[Activation, ...]) -> Markup:
    finite = [row.sqnr_db for row in rows if row.sqnr_db < float("inf")]
    limit = max(finite, default=1.0)
    shown = [
        [
            row.name, row.tensor, str(row.bits), bars([Bar(row.sqnr_db)], limit),
            _decibels(row.sqnr_db), percent(row.clipped), percent(row.levels_used),
        ]
        for row in rows
    ]  # fmt: skip
    heads = ["layer or matmul", "tensor", "bits", "", "SQNR", "clipped", "levels used"]
    return table(heads, shown, align="llrbrrr", tall=True)


def _decibels(value: float) -> str:
    if value == float("inf"):
        return "lossless"
    return f"{fixed(value, 1)} dB" if math.isfinite(value) else "not finite"
