"""What a checkpoint says about itself, as JSON in the safetensors header.

``docs/format.md`` describes the same for other programs; keep the two together.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

FORMAT_VERSION = 4
KEY = "vitquant"


@dataclass(frozen=True)
class LayerRecord:
    """A quantized Linear or Conv2d.

    shape: of the weight, (O, I, ...). activation_bits: of its input; 16 where that stays float.
    sqnr_db: signal-to-noise ratio of the quantized weight against the float one, in decibels.
    rescaling: "none", "stored", or "folded into <module>". shifted: whether something is added to
    the input's channels first. prefix: how many rows at the front of an image's have scales of
    their own, and prefix_bits: the bits of these, 0 where there are none.
    """

    name: str
    kind: str
    weight_bits: float
    activation_bits: int
    shape: tuple[int, ...]
    sqnr_db: float
    rescaling: str
    shifted: bool
    prefix: int
    prefix_bits: int


@dataclass(frozen=True)
class ProductRecord:
    """A module whose products of two activations are quantized, in the order of execution.

    heads: for each product, how many heads of its left operand have a scale of their own; 0 where
    one scale is that of all. prefix: for each product, how many of the left operand's rows at the
    front have.
    """

    name: str
    count: int
    activation_bits: int
    heads: tuple[int, ...]
    prefix: tuple[int, ...]


@dataclass
class Header:
    """Everything about a checkpoint but its tensors.

    model: the float model's identity. unreached: modules left float because nothing in them could
    be replaced, with the reason. constant: Linears left float because they do not see the image.
    settings: how the model was quantized.
    """

    model: dict[str, Any]
    preprocessing: dict[str, Any]
    classes: dict[str, Any] | None
    bits: str
    layers: list[LayerRecord]
    products: list[ProductRecord]
    unreached: dict[str, str] = field(default_factory=dict)
    constant: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    content_sha256: str = ""
    format_version: int = FORMAT_VERSION

    def dump(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"), ensure_ascii=False)


def load_header(text: str) -> Header:
    """Read a header of this format version.

    Raises:
        ValueError: the format is newer than this program.
        KeyError, TypeError: something is missing or misplaced.
    """
    raw = json.loads(text)
    version = raw["format_version"]
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ValueError(f"format version {version}")
    # Version 1 shifted nothing, and had one scale for all heads; version 2, one for all rows;
    # version 3, one number of bits for all rows.
    raw["layers"] = [_layer(r) for r in raw["layers"]]
    raw["products"] = [_product(r) for r in raw["products"]]
    return Header(**raw)


def _layer(raw: dict[str, Any]) -> LayerRecord:
    prefix = raw.get("prefix", 0)
    older = {"shifted": False, "prefix": 0, "prefix_bits": raw["activation_bits"] if prefix else 0}
    return LayerRecord(**older | raw | {"shape": tuple(raw["shape"])})


def _product(raw: dict[str, Any]) -> ProductRecord:
    none = (0,) * raw["count"]
    own = {name: tuple(raw.get(name, none)) for name in ("heads", "prefix")}
    return ProductRecord(**raw | own)
