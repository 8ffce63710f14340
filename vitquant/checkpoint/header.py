"""What a checkpoint says about itself, as JSON in the safetensors header.

``docs/reference/checkpoint.md`` describes the same for other programs; keep the two together.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

from vitquant.config.bits import FLOAT_BITS
from vitquant.config.targets import DEFAULT_TARGET
from vitquant.core.modules import submodule
from vitquant.quantization.layers.base import IntLayer
from vitquant.quantization.layers.conv import IntConv2d
from vitquant.quantization.layers.interception import intercepted
from vitquant.quantization.ptq.convert import ConvertedLayer

FORMAT_VERSION = 6
"""The newest that is read. Version 4, or else 5, is written where it says all there is to say."""
KEY = "vitquant"


@dataclass(frozen=True)
class LayerRecord:
    """A quantized Linear or Conv2d.

    shape: of the weight, (O, I, ...). activation_bits: of its input; 16 where that stays float.
    sqnr_db: signal-to-noise ratio of the quantized weight against the float one, in decibels.
    rescaling: "none", "stored", or "folded into <module>". shifted: whether something is added to
    the input's channels first. prefix: how many prefix rows of an image have scales of
    their own, and prefix_bits: the bits of these, 0 where there are none. signed_activations:
    whether the input's integers are signed; those of 16 bits are.
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
    signed_activations: bool = False


@dataclass(frozen=True)
class ProductRecord:
    """A module whose matmuls of two activations are quantized, in the order of execution.

    activation_bits: of both operands; one number for each matmul where they differ. heads: for each
    matmul, how many heads of its left operand have a scale of their own; 0 where one scale is that
    of all. prefix: for each matmul, how many prefix rows of the left operand have.
    signed_activations: for each matmul, whether the integers of both operands are signed.
    """

    name: str
    count: int
    activation_bits: int | tuple[int, ...]
    heads: tuple[int, ...]
    prefix: tuple[int, ...]
    signed_activations: tuple[bool, ...]

    def matmul_bits(self) -> tuple[int, ...]:
        """The bits of each matmul."""
        if isinstance(self.activation_bits, tuple):
            return self.activation_bits
        return (self.activation_bits,) * self.count


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
    format_version: int = 0

    def __post_init__(self) -> None:
        if not self.format_version:
            signed = any(layer.signed_activations for layer in self.layers)
            signed = signed or any(any(p.signed_activations) for p in self.products)
            differ = any(isinstance(p.activation_bits, tuple) for p in self.products)
            self.format_version = 6 if signed else 5 if differ else 4

    @property
    def target(self) -> str:
        """The name of what it was quantized for; files of before targets were for ONNX Runtime."""
        return str(self.settings.get("target", DEFAULT_TARGET))

    @property
    def is_mixed(self) -> bool:
        """Whether layers have other bits than ``bits`` and the places' own."""
        return bool(self.settings.get("layer_bits"))

    def dump(self) -> str:
        raw = asdict(self)
        if self.format_version < 6:
            for record in (*raw["layers"], *raw["products"]):
                del record["signed_activations"]
        return json.dumps(raw, separators=(",", ":"), ensure_ascii=False)


def load_header(text: str) -> Header:
    """Read a header of this format version or an older one.

    Raises:
        ValueError: the format is newer than this program.
        KeyError, TypeError: something is missing or misplaced.
    """
    raw = json.loads(text)
    version = raw["format_version"]
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ValueError(f"format version {version}")
    # Version 1 shifted nothing, and had one scale for all heads; version 2, one for all rows;
    # version 3, one number of bits for all rows; version 4, one for all matmuls of a module;
    # version 5, no signed activations.
    raw["layers"] = [_layer(r) for r in raw["layers"]]
    raw["products"] = [_product(r) for r in raw["products"]]
    return Header(**raw)


def _layer(raw: dict[str, Any]) -> LayerRecord:
    prefix = raw.get("prefix", 0)
    older = {"shifted": False, "prefix": 0, "prefix_bits": raw["activation_bits"] if prefix else 0}
    return LayerRecord(**older | raw | {"shape": tuple(raw["shape"])})


def _product(raw: dict[str, Any]) -> ProductRecord:
    count = raw["count"]
    older = {"heads": 0, "prefix": 0, "signed_activations": False}
    own: dict[str, Any] = {n: tuple(raw.get(n, (value,) * count)) for n, value in older.items()}
    bits = raw["activation_bits"]
    own["activation_bits"] = tuple(bits) if isinstance(bits, list) else bits
    return ProductRecord(**raw | own)


def layer_records(model: nn.Module, converted: Iterable[ConvertedLayer]) -> list[LayerRecord]:
    """What is stored of the layers of a converted model."""
    return [_layer_record(submodule(model, own.name, IntLayer), own) for own in converted]


def _layer_record(layer: IntLayer, converted: ConvertedLayer) -> LayerRecord:
    prefix, activation = layer.prefix, None if layer.input is None else layer.input.grid
    return LayerRecord(
        name=converted.name,
        kind="conv2d" if isinstance(layer, IntConv2d) else "linear",
        weight_bits=layer.grid.bits,
        activation_bits=FLOAT_BITS if activation is None else int(activation.bits),
        shape=tuple(layer.codes.shape),
        sqnr_db=converted.sqnr_db,
        rescaling=converted.rescaling,
        shifted=layer.shift is not None,
        prefix=prefix.count,
        prefix_bits=0
        if activation is None or not prefix.count
        else int((prefix.grid or activation).bits),
        signed_activations=activation is not None and activation.signed,
    )


def product_records(model: nn.Module) -> list[ProductRecord]:
    """What is stored of the matmuls of a converted model."""
    records = []
    for name, _, matmuls in intercepted(model):
        left = [matmul.left for matmul in matmuls]
        bits = tuple(int(quantizer.grid.bits) for quantizer in left)
        same = len(set(bits)) <= 1
        records.append(
            ProductRecord(
                name=name,
                count=len(bits),
                activation_bits=(*bits, FLOAT_BITS)[0] if same else bits,
                heads=tuple(quantizer.heads for quantizer in left),
                prefix=tuple(quantizer.prefix.count for quantizer in left),
                signed_activations=tuple(quantizer.grid.signed for quantizer in left),
            )
        )
    return records
