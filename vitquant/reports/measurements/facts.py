"""What a checkpoint says of itself, and where its bytes are."""

from collections import defaultdict

from torch import Tensor

from vitquant.config.bits import FLOAT_BITS
from vitquant.reports.measurements.subject import Subject
from vitquant.reports.sections.model import LayerFacts, ModelFacts, Size, SizePart
from vitquant.reports.summary import report
from vitquant.reports.widths import mean_bits

KINDS = ("packed weights", "scales", "biases", "float tensors", "header")
_WEIGHTS, _SCALES, _BIASES, _FLOATS, _HEADER = KINDS
_BIAS_NAMES = ("bias", "prefix_bias")


def model_facts(subject: Subject, file: str) -> ModelFacts:
    """file: the checkpoint as given."""
    header, found = subject.header, report(subject.checkpoint)
    layers = tuple(
        LayerFacts(
            row["name"], subject.block_of(row["name"]), row["kind"], row["weight_bits"],
            row["activation_bits"], row["bytes"], row["sqnr_db"],
        )
        for row in found["layers"]
    )  # fmt: skip
    weight_bits, activation_bits = mean_bits(header)
    quantizes = any(
        row["activation_bits"] < FLOAT_BITS or row["signed_activations"] for row in found["layers"]
    )
    return ModelFacts(
        file=file,
        name=header.model["name"],
        bits=header.bits,
        mean_weight_bits=weight_bits,
        mean_activation_bits=activation_bits if quantizes else None,
        method=header.settings.get("method", ""),
        target=header.target,
        classes=subject.model.num_classes,
        float_identity=header.model,
        content_sha256=header.content_sha256,
        preprocessing={n: v for n, v in header.preprocessing.items() if n != "tokenizer"},
        versions=header.versions,
        layers=layers,
        kept_float=header.unreached,
        is_mixed=header.is_mixed,
    )


def size_by_part(subject: Subject) -> Size:
    """Bytes by place and kind."""
    checkpoint, header = subject.checkpoint, subject.header
    layers = {record.name for record in header.layers}
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for name, tensor in _in_order(checkpoint.tensors, list(subject.model.module.state_dict())):
        place = subject.block_of(name) or name.split(".")[0]
        sums[place, _kind(name, layers)] += tensor.numel() * tensor.element_size()
    rest = checkpoint.bytes - sum(sums.values())
    return Size(
        bytes=checkpoint.bytes,
        float_bytes=header.model["float_bytes"],
        places=tuple(dict.fromkeys(place for place, _ in sums)),
        kinds=KINDS,
        parts=(*(SizePart(p, k, b) for (p, k), b in sums.items()), SizePart("", _HEADER, rest)),
    )


def _in_order(tensors: dict[str, Tensor], names: list[str]) -> list[tuple[str, Tensor]]:
    """Tensors of a file, which sorts them, in the order of the network."""
    order = {name: i for i, name in enumerate(names)}
    return sorted(tensors.items(), key=lambda item: order.get(item[0], len(order)))


def _kind(name: str, layers: set[str]) -> str:
    owner, _, leaf = name.rpartition(".")
    if owner in layers:
        return _WEIGHTS if leaf == "codes" else _BIASES if leaf in _BIAS_NAMES else _SCALES
    quantizer = owner.rpartition(".")[0]
    inside = (owner.endswith(".input") and quantizer in layers) or ".products." in f".{name}"
    return _SCALES if inside else _FLOATS
