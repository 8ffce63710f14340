"""The model card: what a quantized model is, how it was made, and how to use it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from huggingface_hub import ModelCardData

from vitquant.checkpoint.read import Checkpoint
from vitquant.config.bits import TERNARY, parse_bits
from vitquant.config.recipe import quantize_command
from vitquant.config.values import HUB
from vitquant.core.errors import UserError
from vitquant.hub.base_model import BaseModel
from vitquant.hub.markdown import console, table
from vitquant.hub.report_page import PAGE, Chart, pictures
from vitquant.hub.repository import CHECKPOINT, ONNX
from vitquant.models.timm_adapter import TIMM
from vitquant.reports.widths import mean_bits, widths_by_kind

_FRACTIONS, _REST = ("top1", "top5"), ("images", "data")
_ACCEPTED = "what vitquant eval --json printed is accepted"


@dataclass(frozen=True)
class Published:
    """What goes into a repository.

    evaluation: what ``vitquant eval --json`` printed, or None. commands: how it was exported, for
    the card. onnx_bytes: size of the ONNX file, or None without one. exported: what
    ``vitquant export --json`` printed about that, or None. charts: of a report, that are there.
    """

    repository: str
    checkpoint: Checkpoint
    base: BaseModel
    num_classes: int
    evaluation: Mapping[str, Any] | None
    commands: tuple[str, ...]
    onnx_bytes: int | None
    exported: Mapping[str, Any] | None = None
    charts: tuple[Chart, ...] = ()


def card(published: Published) -> str:
    """README.md, in Markdown with the Hub's front matter."""
    return "\n\n".join([f"---\n{_front_matter(published)}\n---", *_body(published)]) + "\n"


def _front_matter(published: Published) -> str:
    task = "image-classification" if published.num_classes > 0 else "image-feature-extraction"
    data = ModelCardData(
        library_name="vitquant",
        pipeline_tag="feature-extraction" if _reads_text(published) else task,
        tags=["vitquant", _source(published), "quantized", published.checkpoint.header.bits]
        + (["mixed-precision"] if published.checkpoint.header.is_mixed else [])
        + (["onnx"] if published.onnx_bytes is not None else []),
    )
    for name, value in published.base.front_matter().items():
        data[name] = value
    return data.to_yaml()


def _body(published: Published) -> Iterable[str]:
    header = published.checkpoint.header
    name = published.repository.partition("/")[2]
    tower = "The text tower of " if _reads_text(published) else ""
    yield f"# {name}"
    mixed = ", with other bits in some layers," if header.is_mixed else ""
    yield (
        f"{tower}{_base(published.base)}, quantized to {header.bits}{mixed} by "
        f"[method](#how-it-was-made) `{header.settings.get('method')}` of vitquant "
        f"{header.versions.get('vitquant', '')}. Weights are packed integers; the file loads "
        f"without executing anything in it."
    )
    yield table(("", ""), _facts(published))
    if header.is_mixed:
        yield "## Bits"
        yield from _widths(published)
    if published.evaluation is not None:
        yield "## Accuracy"
        yield from _accuracy(published.evaluation)
    if published.charts:
        yield f"## Report\n\nAll of it: [{PAGE}]({PAGE}), a page for a browser."
        yield from pictures(published.charts)
    yield "## How to load it"
    yield from _loading(published)
    yield "## How it was made"
    command = quantize_command(header.model, header.bits, header.settings)
    yield console([command, *published.commands])
    yield (
        f"The hash of the float weights is `{header.model['weights_sha256']}`, that of the "
        f"quantized tensors `{header.content_sha256}`. All settings and versions are in the "
        f"metadata of `{CHECKPOINT}`: `vitquant inspect {CHECKPOINT}`."
    )


def _base(base: BaseModel) -> str:
    if base.repository:
        return f"[{base.repository}](https://huggingface.co/{base.repository})"
    return base.name


def _facts(published: Published) -> Iterable[tuple[str, str]]:
    header = published.checkpoint.header
    settings = header.settings
    text = _reads_text(published)
    yield "base model", _base(published.base)
    yield "license", published.base.license or "unknown: that of the base model applies"
    others = "; mixed, see [bits](#bits)" if header.is_mixed else ""
    yield "bits", f"{header.bits}: {_in_words(header.bits)}{others}"
    for place, what in (
        ("patch_embed_bits", "bits, patch embedding"),
        ("head_bits", "bits, classifier"),
    ):
        if settings.get(place, header.bits) != header.bits and not text:
            yield what, settings[place]
    if settings.get("prefix_bits"):
        yield "bits, inputs of layers at class tokens", f"a{settings['prefix_bits']}"
    what = "texts" if text else "images"
    yield "calibration", f"{settings.get('samples')} {what} of `{settings.get('calib')}`, no labels"
    float_bytes = header.model["float_bytes"]
    size = published.checkpoint.bytes
    yield f"`{CHECKPOINT}`", f"{size:,} bytes, {float_bytes / size:.1f} times smaller than float32"
    if published.onnx_bytes is not None:
        yield f"`{ONNX}`", f"{published.onnx_bytes:,} bytes{_verified(published.exported)}"
    for module, why in header.unreached.items():
        yield f"`{module}`", f"float: {why}"


def _verified(exported: Mapping[str, Any] | None) -> str:
    """What is known of an ONNX file, as the end of a sentence."""
    found = exported or {}
    parts = []
    if "integer_kernels" in found and "expected_integer_kernels" in found:
        parts.append(
            f"{found['integer_kernels']} of {found['expected_integer_kernels']} matmuls on "
            f"integer kernels in ONNX Runtime"
        )
    if found.get("agreement") is not None and "images" in found:
        parts.append(
            f"same first guess as in PyTorch on {_percent(found['agreement'])}% of "
            f"{found['images']:,} images of `{found.get('data')}`"
        )
    return "".join(f", {part}" for part in parts)


def _widths(published: Published) -> Iterable[str]:
    header = published.checkpoint.header
    rows = [
        (
            f"`{kind}`",
            ", ".join(f"{bits} ({n})" if len(found) > 1 else bits for bits, n in found.items()),
        )
        for kind, found in widths_by_kind(header).items()
    ]
    yield table(("layers and matmuls", "bits (how many)"), rows)
    weight, activation = mean_bits(header)
    yield f"{weight:.2f} bits a weight and {activation:.2f} an activation on average."


def _in_words(bits: str) -> str:
    found = parse_bits(bits)
    weights = "ternary weights" if found.weight == TERNARY else f"{found.weight}-bit weights"
    if not found.quantizes_activations:
        return f"{weights}, float activations"
    integer = " integer" if found.signed else ""
    return f"{weights}, {found.activation}-bit{integer} activations"


def _accuracy(evaluation: Mapping[str, Any]) -> Iterable[str]:
    rows = []
    reference = evaluation.get("reference")
    if reference:
        rows.append(("float", _percent(reference["top1"]), _percent(reference["top5"]), ""))
    agreement = evaluation.get("agreement")
    rows.append(
        (
            "quantized",
            _percent(evaluation["top1"]),
            _percent(evaluation["top5"]),
            "" if agreement is None else _percent(agreement),
        )
    )
    yield table(("", "top-1 %", "top-5 %", "agreement with float %"), rows)
    text = evaluation.get("text_model")
    how = f", zero-shot with the texts of `{text}`" if text else ""
    yield f"On {evaluation['images']:,} images of `{evaluation['data']}`{how}."


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}"


def _loading(published: Published) -> Iterable[str]:
    name = f"{HUB}{published.repository}"
    text = _reads_text(published)
    uses = (
        'tokenizer = tokenizers.Tokenizer.from_str(model.pretrained_cfg["tokenizer"])'
        if text
        else "transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))"
    )
    yield (
        "```python\n"
        f"import {'tokenizers' if text else 'timm'}\n"
        "import vitquant\n"
        "\n"
        f'model = vitquant.load("{name}")  # an nn.Module of {_source(published)}, in eval mode\n'
        f"{uses}\n"
        "```"
    )
    towers = f"IMAGE_MODEL --text-model {name}" if text else name
    yield console([f"vitquant eval {towers} --data FOLDER"])
    yield (
        f"`{CHECKPOINT}` holds packed integers: {_source(published)} builds the architecture from "
        f"`config.json`, but cannot read them."
    )


def _reads_text(published: Published) -> bool:
    return "tokenizer" in published.checkpoint.header.preprocessing


def _source(published: Published) -> str:
    """The library of the float model."""
    return str(published.checkpoint.header.model.get("source", TIMM.source))


def check_evaluation(found: Any, flag: str = "evaluation") -> None:
    """Raise a UserError unless a card can show ``found``."""
    if not isinstance(found, Mapping) or any(name not in found for name in (*_FRACTIONS, *_REST)):
        raise UserError(f"{flag}: it lacks {', '.join((*_FRACTIONS, *_REST))}; {_ACCEPTED}")
    reference = found.get("reference") or {}
    shown = [found.get(name) for name in _FRACTIONS]
    shown += [reference.get(name) for name in _FRACTIONS] if reference else []
    if not all(isinstance(value, (int, float)) and 0 <= value <= 1 for value in shown):
        raise UserError(f"{flag}: top1 and top5 have to be fractions from 0 to 1; {_ACCEPTED}")
