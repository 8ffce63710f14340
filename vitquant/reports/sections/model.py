"""What a checkpoint is, and where its bytes are."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LayerFacts:
    """A quantized layer, or a matmul of two activations.

    Attributes:
        name: of the module; of a matmul with ``.products.`` and its number.
        block: the name of the block that it is in; empty outside of blocks.
        kind: ``linear``, ``conv2d`` or ``matmul``.
        weight_bits: None for a matmul.
        activation_bits: of the input, or of both operands; 16 where they stay float.
        bytes: of all its tensors in the file.
        sqnr_db: signal-to-noise ratio of the weight, in decibels; None for a matmul.
    """

    name: str
    block: str
    kind: str
    weight_bits: float | None
    activation_bits: int
    bytes: int
    sqnr_db: float | None


@dataclass(frozen=True)
class ModelFacts:
    """What a checkpoint says of itself.

    Attributes:
        file: the checkpoint as given.
        name: of the float model.
        bits: as asked for, such as ``w4a4``.
        mean_weight_bits: over the quantized weights, 1.58 for ternary ones.
        mean_activation_bits: over the inputs of layers and the matmuls, float ones counting 16;
            None where all stay float.
        method, target: their names.
        classes: how many outputs are logits; 0 without a classifier.
        float_identity: which float model it was made from (docs/reference/checkpoint.md).
        content_sha256: of the quantized tensors.
        preprocessing: without the text of a tokenizer.
        versions: of what made it, by package.
        layers: in the order of execution, matmuls behind them.
        kept_float: why parts were left float, by the name of a module.
        is_mixed: whether layers have bits of their own.
    """

    file: str
    name: str
    bits: str
    mean_weight_bits: float
    mean_activation_bits: float | None
    method: str
    target: str
    classes: int
    float_identity: dict[str, Any]
    content_sha256: str
    preprocessing: dict[str, Any]
    versions: dict[str, str]
    layers: tuple[LayerFacts, ...]
    kept_float: dict[str, str]
    is_mixed: bool = False


@dataclass(frozen=True)
class SizePart:
    """Bytes of one kind in one place.

    place: the name of a block, or of the module at the top level that is in none, such as
    ``patch_embed`` or ``head``. kind: one of ``Size.kinds``.
    """

    place: str
    kind: str
    bytes: int


@dataclass(frozen=True)
class Size:
    """Bytes of a checkpoint.

    Attributes:
        bytes: of the file.
        float_bytes: of the float weights.
        places: in the order of the network.
        kinds: in the order in which they are to be stacked: ``packed weights``, ``scales``,
            ``biases``, ``float tensors``; with ``header`` at the end, whose place is empty.
        parts: what there is; they add up to ``bytes``.
    """

    bytes: int
    float_bytes: int
    places: tuple[str, ...]
    kinds: tuple[str, ...]
    parts: tuple[SizePart, ...]
