"""What a target is: what a runtime, or a piece of hardware, computes fast."""

from dataclasses import dataclass
from enum import StrEnum


class Symmetry(StrEnum):
    """Which activations have the zero point 0 when they are stored as signed integers.

    NONE: any zero point is accepted. SIGNED: those with values below 0; the others are unsigned,
    and their zero point is 0 too. ALL: every one, as a signed integer.
    """

    NONE = "none"
    SIGNED = "signed"
    ALL = "all"

    def holds(self, negative: bool) -> bool:
        """Whether an activation has to be symmetric. negative: whether it has values below 0."""
        return self is Symmetry.ALL or (self is Symmetry.SIGNED and negative)


@dataclass(frozen=True)
class Target:
    """A profile; another is a file beside this one with a ``TARGET`` in it.

    name: of ``--target``. label: as programs that users read call it. inputs, matmuls: which inputs
    of layers, and which operands of attention matmuls, are symmetric. head_scales, prefix_scales:
    whether heads of the attention weights, and class tokens and registers, may have scales of their
    own. int16: whether activations may be 16-bit integers. weight_types: types of ONNX for weights,
    narrowest first. highest_opset: of an ONNX file. clips_integers: whether levels below 8 bits are
    kept by clipping bytes rather than floats. int32_bias: whether biases are int32 in units of the
    accumulator; float otherwise. conv_integer: whether a convolution whose patches overlap is
    ConvInteger; a Conv between quantizations otherwise. rest: the type that is computed in between
    integer products.
    """

    name: str
    label: str
    inputs: Symmetry = Symmetry.NONE
    matmuls: Symmetry = Symmetry.NONE
    head_scales: bool = True
    prefix_scales: bool = True
    int16: bool = True
    weight_types: tuple[str, ...] = ("int2", "int4", "int8")
    highest_opset: int = 25
    clips_integers: bool = False
    int32_bias: bool = True
    conv_integer: bool = True
    rest: str = "float32"
