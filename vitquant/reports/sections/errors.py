"""Where a quantized model departs from its float model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class BlockError:
    """Errors of what a block puts out, against the float block's output.

    A relative error is the root mean square of the difference divided by that of the float output;
    1 is that of an output of zeros. A cosine is the mean over images, each flattened.

    Attributes:
        name: of the block.
        relative_error, cosine: in the quantized network.
        own_relative_error, own_cosine: of the quantized block fed the float model's features: what
            the block adds by itself.
    """

    name: str
    relative_error: float
    cosine: float
    own_relative_error: float
    own_cosine: float


@dataclass(frozen=True)
class BlockErrors:
    """For each block in order. images: how many were looked at."""

    images: int
    blocks: tuple[BlockError, ...]


@dataclass(frozen=True)
class TensorError:
    """What rounding one tensor does to the output of its own layer or matmul.

    Attributes:
        name: of the layer or matmul.
        block: that it is in; empty outside of blocks.
        tensor: ``weight``, ``input``, ``left operand`` or ``right operand``.
        relative_error: of that output, without bias, as of a block: the change by rounding this
            tensor alone, where blocks are fed float features. Of a weight, that of the weight
            itself.
    """

    name: str
    block: str
    tensor: str
    relative_error: float


@dataclass(frozen=True)
class Collapse:
    """Where a model that predicts little better than at random loses what its float model knows.

    Attributes:
        measure: ``agreement`` or ``relative_error``, by which it has collapsed.
        value: of it.
        limit: below which, of a relative error above which, a model has collapsed.
        images: how many it was measured on.
        block: the first block whose output is lost; None where no single one is.
        tensor: the first tensor that is lost; None where no single one is.
        tensors: the errors of single tensors, in the order of execution.
        how: how block and tensor were decided on; sentences.
    """

    measure: str
    value: float
    limit: float
    images: int
    block: str | None
    tensor: TensorError | None
    tensors: tuple[TensorError, ...]
    how: str


@dataclass(frozen=True)
class Activation:
    """A quantized input or operand against its grid.

    Attributes:
        name: of the layer or matmul.
        block: that it is in; empty outside of blocks.
        tensor: ``input``, ``left operand`` or ``right operand``.
        bits: of its grid.
        clipped: the share of values that lie outside of the grid.
        levels_used: the share of the grid's levels that occur.
        sqnr_db: signal-to-quantization-noise ratio in decibels; infinite where nothing is lost.
    """

    name: str
    block: str
    tensor: str
    bits: int
    clipped: float
    levels_used: float
    sqnr_db: float


@dataclass(frozen=True)
class ActivationHistogram:
    """The values of an activation, as they enter its quantizer.

    Attributes:
        activation: which, with its figures.
        edges: of the bins, ascending; one more than ``counts``.
        counts: values in each bin.
        grid_low, grid_high: what the lowest and the highest level stand for; where parts of the
            tensor have scales of their own, those of the widest.
        step: the distance of two levels; of the widest.
        parts: how many parts have scales of their own (heads, class tokens); 1 where all share one.
    """

    activation: Activation
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    grid_low: float
    grid_high: float
    step: float
    parts: int


@dataclass(frozen=True)
class Activations:
    """Every quantized input and operand, in the order of execution.

    images: how many were looked at. worst: those with the lowest SQNR, lowest first.
    """

    images: int
    rows: tuple[Activation, ...]
    worst: tuple[ActivationHistogram, ...]
