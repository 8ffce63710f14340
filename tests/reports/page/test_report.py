"""The page of a report, with everything that it can hold and with little."""

import io
import math
import random
from dataclasses import fields, replace
from itertools import pairwise

import pytest
from PIL import Image

from vitquant.reports.page.report import render
from vitquant.reports.report import Report
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
from vitquant.reports.sections.calibration import Calibration, ClassCount
from vitquant.reports.sections.errors import (
    Activation,
    ActivationHistogram,
    Activations,
    BlockError,
    BlockErrors,
    Collapse,
    TensorError,
)
from vitquant.reports.sections.making import Curve, Latencies, Latency, Recipe, Training
from vitquant.reports.sections.model import LayerFacts, ModelFacts, Size, SizePart
from vitquant.reports.sections.picture import Picture

BLOCKS = [f"blocks.{i}" for i in range(12)]
LAYERS = ["attn.qkv", "attn.products.0", "attn.products.1", "attn.proj", "mlp.fc1", "mlp.fc2"]


def picture(width=160, height=160, alt="a <picture>"):
    data = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).save(data, "JPEG")
    return Picture(data.getvalue(), "image/jpeg", width, height, alt)


def histogram(name, bits, rng):
    values = sorted(rng.gauss(0, 1) ** 3 for _ in range(2000))
    low, high = values[0], values[-1]
    edges = tuple(low + (high - low) * i / 60 for i in range(61))
    counts = tuple(sum(a <= v < b for v in values) for a, b in pairwise(edges))
    activation = Activation(name, "blocks.1", "input", bits, 0.012, 0.75, 7.5)
    return ActivationHistogram(
        activation, edges, counts, low / 2, high / 2, (high - low) / 2 / (2**bits - 1), 3
    )


def accuracy_parts():
    score = Scores(Interval(0.71, 0.69, 0.73), 0.9, 3)
    answers = Answer("tench, Tinca tinca", 0.93), Answer("goldfish, Carassius auratus", 0.41)
    changed = tuple(ChangedImage(i, *answers, "tench, Tinca tinca", picture()) for i in range(12))
    rows = tuple(
        Corruption(kind, n, f"strength {n}", 0.7 - 0.15 * n, 0.72 - 0.1 * n, picture(96, 96))
        for kind in ("blur", "noise", "jpeg", "contrast")
        for n in (1, 2, 3)
    )
    return {
        "accuracy": Accuracy(
            "imagenet/val", 969, 969, score, Scores(Interval(0.722, 0.7, 0.74), 0.91, 0),
            Interval(-0.012, -0.02, -0.004), 31, 19, 0.12, Interval(0.84, 0.82, 0.86), None, None,
        ),
        "changed": ChangedImages(151, 969, changed),
        "corruptions": Corruptions(969, "top1", 0.71, 0.722, rows, picture(96, 96)),
    }  # fmt: skip


def error_parts(rng):
    blocks = tuple(
        BlockError(name, 0.05 * 1.35**i, 1 - 0.001 * 1.5**i, 0.04 + 0.02 * rng.random(), 0.999)
        for i, name in enumerate(BLOCKS)
    )
    tensors = tuple(
        TensorError(f"{block}.{layer}", block, tensor, 10 ** rng.uniform(-2.5, 0.3))
        for block in BLOCKS
        for layer in LAYERS
        for tensor in (
            ("left operand", "right operand") if "products" in layer else ("weight", "input")
        )
    )
    rows = tuple(
        Activation(
            e.name, e.block, e.tensor, 4, 0.01 * rng.random(), rng.random(), rng.gauss(14, 4)
        )
        for e in tensors
        if e.tensor != "weight"
    )
    worst = tuple(histogram(f"blocks.{i}.mlp.fc2", bits, rng) for i, bits in enumerate((4, 3, 8)))
    return {
        "blocks": BlockErrors(64, blocks),
        "activations": Activations(64, rows, worst),
        "collapse": Collapse(
            "agreement", 0.012, 0.05, 64, "blocks.3", tensors[40], tensors,
            "A block is lost where the relative error of its output is above 1.",
        ),
    }  # fmt: skip


def full() -> Report:
    """A report with every section, for a model of the size of DeiT-Tiny."""
    rng = random.Random(0)
    places = ("patch_embed", *BLOCKS, "norm", "head")
    kinds = ("packed weights", "scales", "biases", "float tensors", "header")
    weight = {"patch_embed": 147_000, "norm": 0, "head": 96_000}
    parts = [
        SizePart(place, kind, size)
        for place in places
        for kind, size in zip(kinds, (weight.get(place, 221_000), 7000, 6000, 1500), strict=False)
    ]
    parts.append(SizePart("", "header", 21_000))
    layers = tuple(
        LayerFacts(
            f"{block}.{layer}", block, "matmul" if "products" in layer else "linear",
            None if "products" in layer else 4, 4, 40_000, None if "products" in layer else 18.2,
        )
        for block in BLOCKS
        for layer in LAYERS
    )  # fmt: skip
    steps = tuple(range(0, 800, 8))
    curves = tuple(
        Curve(name, steps, tuple(top * math.exp(-s / 150) + 0.01 for s in steps))
        for name, top in (("loss", 3.0), ("features", 2.0), ("logits", 1.0))
    )
    total = sum(part.bytes for part in parts)
    return Report(
        ModelFacts(
            "out/deit_tiny-w4a4.safetensors", "deit_tiny_patch16_224.fb_in1k", "w4a4", 4.12, 4.3,
            "joint", "onnxruntime", 1000, {"name": "deit_tiny"}, "ab" * 32,
            {"input_size": [3, 224, 224], "crop_pct": 0.9}, {"vitquant": "0.1.0", "torch": "2.9"},
            layers, {"head": "--keep-float"},
        ),
        Size(total, 22_883_360, places, kinds, tuple(parts)),
        Recipe('[method]\nmethod = "joint"\n', ("vitquant quantize deit_tiny --bits w4a4",)),
        training=Training("joint", 800, curves),
        calibration=Calibration(
            "imagenet/calib", 1000, "imagenet/calib", 1000, 1000,
            tuple(ClassCount(f"class {i}", 1 + (i < 30)) for i in range(970)), picture(900, 400),
        ),
        latencies=Latencies(
            "Some CPU", 1, 1, 50, {"onnxruntime": "1.31", "openvino": "2026.4"},
            tuple(
                Latency(model, runtime, 6_000_000, ms, ms * 0.97, ms * 1.1, speedup)
                for runtime in ("onnxruntime", "openvino")
                for model, ms, speedup in (("float", 21.0, None), ("quantized", 11.5, 1.83))
            ),
        ),
        notes=("The names of 3 classes are not known.",),
        **accuracy_parts(),
        **error_parts(rng),
    )  # fmt: skip


@pytest.fixture(scope="module")
def report():
    return full()


def test_every_section_has_its_figures(parse, report):
    found = parse(render(report))
    assert [h2.text for h2 in found.all("h2")] == [
        "Where it collapses", "The model", "Bytes by part", "Accuracy beside the float model",
        "Error block by block", "Activations against their grids",
        "Images whose top-1 prediction changed", "Accuracy under corruption", "Latency", "Training",
        "Calibration images", "Recipe",
    ]  # fmt: skip
    sections = dict(
        zip(
            (h2.text for h2 in found.all("h2")), (s.text for s in found.all("section")), strict=True
        )
    )
    for title, shown in {
        "Where it collapses": ("blocks.3", "agreement", "1.2 % on 64 images", "5.0 %"),
        "The model": ("out/deit_tiny-w4a4.safetensors", "joint", "abab", "--keep-float", "18.2"),
        "Bytes by part": ("7.3 times smaller", "221,000", "header"),
        "Accuracy beside the float model": (
            "71.0 %",
            "69.0 % to 73.0 %",
            "−1.2 points",
            "p = 0.12",
        ),
        "Error block by block": ("first passes half", "blocks.8", "0.745"),
        "Activations against their grids": ("7.5 dB", "1.2 % clipped", "widest of 3 grids"),
        "Images whose top-1 prediction changed": ("151 of 969", "tench, Tinca tinca", "93.0 % ✓"),
        "Accuracy under corruption": ("blur: strength 3", "25.0 %", "72.2 %"),
        "Latency": ("11.5", "1.83 ×", "openvino 2026.4", "Some CPU"),
        "Training": ("800 steps", "logits"),
        "Calibration images": ("970 of 1,000 classes", "1 to 2 of each"),
        "Recipe": ("vitquant quantize deit_tiny --bits w4a4", 'method = "joint"'),
    }.items():
        for text in shown:
            assert text in sections[title], title
    assert "The names of 3 classes are not known." in found.all("header")[0].text
    assert len(found.all("img")) == 12 + 13 + 1
    assert {image.attributes["alt"] for image in found.all("img")} == {"a <picture>"}


def test_what_is_missing_is_said_and_has_no_section(parse, report):
    add = "--data <SOURCE> adds it"
    missing = {"accuracy": add, "x": "?", "changed": add}
    found = parse(render(Report(report.model, report.size, report.recipe, missing=missing)))
    titles = [h2.text for h2 in found.all("h2")]
    assert titles == ["The model", "Bytes by part", "Recipe", "Not in this report"]
    assert [item.text for item in found.all("li")][-2:] == [
        f"accuracy, images whose top-1 prediction changed: {add}.",
        "x: ?.",
    ]


def test_every_section_that_may_be_missing_has_a_name(parse, report):
    optional = {f.name for f in fields(Report) if f.default is None}
    why = dict.fromkeys(optional, "REASON")
    found = parse(render(Report(report.model, report.size, report.recipe, missing=why)))
    named = found.all("li")[-1].text.removesuffix(": REASON.").split(", ")
    assert len(named) == len(optional)
    assert set(named) & optional == {"accuracy"}


def test_a_mixed_model_is_called_so(parse, report):
    mixed = replace(report, model=replace(report.model, is_mixed=True))
    assert parse(render(report)).all("h1")[0].text == f"{report.model.name} {report.model.bits}"
    assert parse(render(mixed)).all("h1")[0].text.endswith(f"{report.model.bits}, mixed")


FOREIGN = "<script>alert('x')</script>\0\udc80 &amp; \u202e https://example.com/x.png"


def test_foreign_text_is_text_wherever_it_comes_from(parse, report):
    answer = Answer(FOREIGN, 0.5)
    block = replace(report.blocks.blocks[0], name=FOREIGN)
    foreign = replace(
        report,
        model=replace(
            report.model, file=FOREIGN, name=FOREIGN, kept_float={FOREIGN: FOREIGN},
            preprocessing={FOREIGN: [FOREIGN]}, versions={FOREIGN: FOREIGN},
        ),
        size=replace(report.size, places=(FOREIGN,), kinds=(FOREIGN,),
                     parts=(SizePart(FOREIGN, FOREIGN, 3),)),
        recipe=Recipe(FOREIGN, (FOREIGN,)),
        training=Training(FOREIGN, 1, (Curve(FOREIGN, (0,), (1.0,)),)),
        accuracy=replace(report.accuracy, data=FOREIGN),
        changed=ChangedImages(
            1, 1, (ChangedImage(0, answer, answer, FOREIGN, picture(alt=FOREIGN)),)
        ),
        corruptions=replace(
            report.corruptions, rows=(Corruption(FOREIGN, 1, FOREIGN, 0.5, 0.5, None),)
        ),
        blocks=BlockErrors(1, (block,)),
        calibration=Calibration(FOREIGN, 1, FOREIGN, 1, 1, (ClassCount(FOREIGN, 1),), None),
        latencies=replace(
            report.latencies, device=FOREIGN, versions={FOREIGN: FOREIGN},
            rows=(Latency(FOREIGN, FOREIGN, 1, 1.0, 1.0, 1.0, 1.0),),
        ),
        collapse=replace(report.collapse, block=FOREIGN, how=FOREIGN,
                         tensor=TensorError(FOREIGN, FOREIGN, FOREIGN, 1.0),
                         tensors=(TensorError(FOREIGN, FOREIGN, FOREIGN, 1.0),)),
        activations=Activations(1, (replace(report.activations.rows[0], name=FOREIGN),), ()),
        missing={FOREIGN: FOREIGN},
        notes=(FOREIGN,),
    )  # fmt: skip
    made = render(foreign)
    found = parse(made)
    made.encode()
    assert found.text.count("<script>alert('x')</script>") > 30
    assert "\u202e" not in made


NAN = float("nan")


def test_a_model_whose_outputs_are_not_finite(parse, report):
    blocks = tuple(replace(b, relative_error=NAN, cosine=NAN) for b in report.blocks.blocks)
    worst = report.activations.worst[0]
    activation = replace(worst.activation, sqnr_db=NAN, clipped=NAN)
    worst = replace(worst, activation=activation, edges=(NAN,) * len(worst.edges))
    tensors = tuple(replace(t, relative_error=float("inf")) for t in report.collapse.tensors[:3])
    found = parse(
        render(
            replace(
                report,
                blocks=BlockErrors(64, blocks),
                activations=Activations(64, (activation,), (worst,)),
                collapse=replace(
                    report.collapse, measure="relative_error", value=NAN, limit=1.0, block=None,
                    tensor=None, tensors=tensors,
                ),
            )
        )
    )  # fmt: skip
    assert "relative error of the outputs is not finite" in found.text
    assert "SQNR not finite, not finite clipped" in found.text
    assert "It first passes half of the features' own size in blocks.0" in found.text


def test_a_model_without_classes_or_labels(parse, report):
    none = Scores(None, None, 0)
    found = parse(
        render(
            replace(
                report,
                accuracy=Accuracy("x", 5, 0, none, none, *[None] * 5, 0.987, 0.123),
                corruptions=replace(
                    report.corruptions, measure="cosine", clean_reference=None,
                    clean_quantized=-0.2, picture=None,
                    rows=(Corruption("blur", 1, "radius 1", 0.9, None, None),),
                ),
                calibration=Calibration("x", 5, None, 0, 0, (), None),
            )
        )
    )  # fmt: skip
    assert "5 images of x, none with a label that the model knows." in found.text
    assert "0.987" in found.text
    assert "Cosine of the outputs" in found.text
    assert "They are not at hand" in found.text


def test_a_chart_for_each_block_where_there_are_many(parse, report):
    curves = tuple(Curve(f"blocks.{i}", (0, 1), (2.0, 1.0)) for i in range(12))
    found = parse(render(replace(report, training=Training("block", 100, curves))))
    assert [f.text for f in found.all("figcaption")].count("blocks.11") == 1
    assert "100 steps for each block" in found.text


@pytest.mark.parametrize("width", [390, 1200])
def test_a_browser_lays_it_out_within_the_window(overflow, report, width):
    opened = render(report).replace("<details>", "<details open>")
    assert overflow(opened, width) == 0
