"""How good a quantized model is beside its float model."""

from vitquant.reports.page.charts.bars import Bar, bars
from vitquant.reports.page.charts.plot import legend
from vitquant.reports.page.figures import figure, percent
from vitquant.reports.page.markup import Markup, join, tag
from vitquant.reports.page.page import Section, paragraph
from vitquant.reports.page.pictures import captioned, image
from vitquant.reports.page.tables import facts, table
from vitquant.reports.sections.accuracy import (
    Accuracy,
    Answer,
    ChangedImage,
    ChangedImages,
    Corruption,
    Corruptions,
    Interval,
    Scores,
)

_MODELS = (("c4", "float"), ("c0", "quantized"))


def accuracy_section(found: Accuracy) -> Section:
    """Scores of both models with intervals, and how often they differ."""
    labels = "all with a label" if found.labeled == found.images else f"{found.labeled:,} labeled"
    labels = labels if found.labeled else "none with a label that the model knows"
    parts = [paragraph(f"{found.images:,} images of ", tag("code", found.data), f", {labels}.")]
    scores = [("float", "c4", found.reference), ("quantized", "c0", found.quantized)]
    shown = [(name, look, s) for name, look, s in scores if s is not None and s.top1 is not None]
    if shown:
        rows = [_scores(name, look, s) for name, look, s in shown]
        heads = ["model", "", "top-1", "95% interval", "top-5"]
        parts.append(table(heads, rows, align="lbrrr"))
    parts.append(facts([*_differences(found), *_outputs(found), *_not_finite(scores)]))
    return Section("Accuracy beside the float model", join(*parts))


def changed_section(found: ChangedImages) -> Section:
    """Images with both answers."""
    share = f" ({percent(found.count / found.images)})" if found.images else ""
    shown = (
        f" Those of which the float model was surest, {len(found.shown)} of them:"
        if found.shown
        else ""
    )
    return Section(
        "Images whose top-1 prediction changed",
        join(
            paragraph(
                f"The prediction changed on {found.count:,} of {found.images:,} images{share}."
                + shown
            ),
            tag("div", *(_changed(one) for one in found.shown), class_="pictures")
            if found.shown
            else None,
        ),
    )


def corruption_section(found: Corruptions) -> Section:
    """Both models on damaged images."""
    name = {"top1": "Top-1", "agreement": "Agreement with the float model"}
    measure = name.get(found.measure, "Cosine of the outputs with the float model's")
    both = found.clean_reference is not None
    rows = [_corruption("none", found, found.clean_quantized, found.clean_reference, found)]
    rows += [
        _corruption(f"{row.kind}: {row.setting}", row, row.quantized, row.reference, found)
        for row in found.rows
    ]
    heads = ["corruption", "image", "", *(["float"] if both else []), "quantized"]
    return Section(
        "Accuracy under corruption" if found.measure == "top1" else "Under corruption",
        join(
            paragraph(f"{measure}, on the same {found.images:,} images, damaged."),
            legend(_MODELS, "solid") if both else None,
            table(heads, rows, align="llbrr" if both else "llbr"),
        ),
    )


def _scores(name: str, look: str, scores: Scores) -> list[str]:
    top1 = scores.top1
    assert top1 is not None
    bar = bars([Bar(top1.estimate, look, top1.low, top1.high)], 1.0)
    top5 = "" if scores.top5 is None else percent(scores.top5)
    return [name, bar, percent(top1.estimate), _interval(top1), top5]


def _interval(found: Interval) -> str:
    return f"{percent(found.low)} to {percent(found.high)}"


def _differences(found: Accuracy) -> list[tuple[str, str]]:
    pairs = []
    if found.difference is not None:
        low, high = (f"{100 * end:+.1f}" for end in (found.difference.low, found.difference.high))
        estimate = f"{100 * found.difference.estimate:+.1f}"
        shown = f"{estimate} points, 95% interval {low} to {high}".replace("-", "−")
        pairs.append(("difference of top-1", shown))
    if found.only_reference_right is not None and found.only_quantized_right is not None:
        shown = f"float {found.only_reference_right:,}, quantized {found.only_quantized_right:,}"
        pairs.append(("images that one model alone has right", shown))
    if found.p_value is not None:
        shown = "p < 0.001" if found.p_value < 0.001 else f"p = {found.p_value:.2g}"
        pairs.append(("McNemar's test that both are equally good", shown))
    if found.agreement is not None:
        shown = f"{percent(found.agreement.estimate)}, 95% interval {_interval(found.agreement)}"
        pairs.append(("agreement: same top-1 prediction", shown))
    return pairs


def _outputs(found: Accuracy) -> list[tuple[str, str]]:
    pairs = (
        ("cosine of outputs", found.cosine),
        ("relative error of outputs", found.relative_error),
    )
    return [(name, figure(value)) for name, value in pairs if value is not None]


def _not_finite(scores: list[tuple[str, str, Scores | None]]) -> list[tuple[str, str]]:
    return [
        (f"images with a NaN or infinite output, {name}", f"{found.not_finite:,}")
        for name, _, found in scores
        if found is not None and found.not_finite
    ]


def _changed(found: ChangedImage) -> Markup:
    known = found.label is not None
    return captioned(
        found.picture,
        facts(
            [
                ("float", _answer(found.reference, found.label)),
                ("quantized", _answer(found.quantized, found.label)),
                ("label", found.label if known else None),
                ("image", f"{found.index:,}"),
            ]
        ),
    )


def _answer(answer: Answer, label: str | None) -> Markup:
    right = " ✓" if label is not None and answer.name == label else ""
    return join(f"{answer.name} ", tag("small", f"{percent(answer.probability)}{right}"))


def _corruption(
    name: str,
    pictured: Corruption | Corruptions,
    quantized: float,
    reference: float | None,
    of: Corruptions,
) -> list[str]:
    shown = figure if of.measure == "cosine" else percent
    values = [Bar(quantized, "c0")]
    if of.clean_reference is not None:
        values.insert(0, Bar(reference or 0.0, "c4"))
    numbers = [] if of.clean_reference is None else ["" if reference is None else shown(reference)]
    picture = image(pictured.picture) if pictured.picture else ""
    return [name, picture, bars(values, 1.0), *numbers, shown(quantized)]
