"""What a checkpoint is, and where its bytes are."""

from typing import Any

from vitquant.reports.page.charts.bars import stacked
from vitquant.reports.page.charts.plot import legend
from vitquant.reports.page.figures import size as in_bytes
from vitquant.reports.page.markup import Markup, breakable, join, tag
from vitquant.reports.page.page import Section, folded, paragraph
from vitquant.reports.page.tables import facts, table
from vitquant.reports.sections.model import LayerFacts, ModelFacts, Size


def model_section(model: ModelFacts) -> Section:
    """Where it is from, its bits, and each of its layers."""
    shown = facts(
        [
            ("file", breakable(model.file)),
            ("float model", breakable(model.name)),
            ("bits", model.bits),
            ("mean bits", _mean_bits(model)),
            ("method", model.method),
            ("target", model.target),
            ("classes", f"{model.classes:,}" if model.classes else "no classifier"),
            ("tensors", tag("code", f"sha256:{model.content_sha256}")),
            ("made with", ", ".join(f"{name} {v}" for name, v in model.versions.items())),
        ]
    )
    layers = table(
        ["layer or matmul", "kind", "W", "A", "bytes", "SQNR dB"],
        [_layer(layer) for layer in model.layers],
        align="llrrrr",
        tall=True,
    )
    parts = [shown, folded(f"Quantized layers and matmuls: {len(model.layers):,}", layers)]
    if model.kept_float:
        kept = table(["part", "why"], list(model.kept_float.items()), align="ll")
        parts.append(folded(f"Parts that stayed float: {len(model.kept_float):,}", kept))
    details = {**model.float_identity, **{f"input: {k}": v for k, v in model.preprocessing.items()}}
    rows = [(name, _plain(value)) for name, value in details.items()]
    parts.append(
        folded("Float model and preprocessing", table(["what", "value"], rows, align="ll"))
    )
    return Section("The model", join(*parts))


def size_section(size: Size) -> Section:
    """Bytes by place and kind."""
    header = sum(part.bytes for part in size.parts if not part.place)
    names = [*size.places, *([""] if header else [])]
    of: dict[tuple[str, str], int] = {}
    for part in size.parts:
        of[part.place, part.kind] = of.get((part.place, part.kind), 0) + part.bytes
    totals = {name: sum(of.get((name, kind), 0) for kind in size.kinds) for name in names}
    limit = max(totals.values(), default=1)
    bars, numbers = [], []
    for name in names:
        counts = [of.get((name, kind), 0) for kind in size.kinds]
        hints = [f"{k}: {in_bytes(n)}" for k, n in zip(size.kinds, counts, strict=True)]
        shown = name or "header"
        bars.append(
            [shown, stacked(list(zip(hints, counts, strict=True)), limit), in_bytes(totals[name])]
        )
        numbers.append([shown, *(f"{count:,}" for count in counts), f"{totals[name]:,}"])
    detail = table(["part", *size.kinds, "sum"], numbers, align="l" + "r" * (len(size.kinds) + 1))
    times = f", {size.float_bytes / size.bytes:.1f} times smaller" if size.bytes else ""
    return Section(
        "Bytes by part",
        join(
            paragraph(
                f"The file has {size.bytes:,} bytes; the float weights have {size.float_bytes:,}"
                f"{times}."
            ),
            legend([(f"c{i}", kind) for i, kind in enumerate(size.kinds)], "solid"),
            table(["part", "", "bytes"], bars, align="lbr"),
            folded("Numbers", detail),
        ),
    )


def _mean_bits(model: ModelFacts) -> str:
    activations = model.mean_activation_bits
    shown = "float" if activations is None else f"{activations:.3g}"
    return f"weights {model.mean_weight_bits:.3g}, activations {shown}"


def _layer(layer: LayerFacts) -> list[str]:
    return [
        layer.name,
        layer.kind,
        "" if layer.weight_bits is None else f"{layer.weight_bits:g}",
        "float" if layer.activation_bits == 16 else str(layer.activation_bits),
        f"{layer.bytes:,}",
        "" if layer.sqnr_db is None else f"{layer.sqnr_db:.1f}",
    ]


def _plain(value: Any) -> Markup:
    return breakable(str(value))
