"""``w4a4`` → a value, and which place in a network has which bits."""

import re
from dataclasses import dataclass

from vitquant.core.errors import UserError

FLOAT_BITS = 16
"""Bits of activations that stay float."""
TERNARY = 1.58
WEIGHT_BITS = (TERNARY, 2, 3, 4, 5, 6, 7, 8)
ACTIVATION_BITS = (2, 3, 4, 5, 6, 7, 8, FLOAT_BITS)
SIGNED_ACTIVATION_BITS = (16,)

_FORM = re.compile(r"w(\d+(?:\.\d+)?)([ai])(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Bits:
    """Bit widths of weights and activations.

    activation: 16 means that they stay float, unless they are signed. signed: activations are
    signed integers with zero at 0, ``i16``, not unsigned ones with a zero point.
    """

    weight: float
    activation: int
    signed: bool = False

    def __str__(self) -> str:
        return f"w{self.weight:g}{'i' if self.signed else 'a'}{self.activation}"

    @property
    def quantizes_activations(self) -> bool:
        return self.signed or self.activation != FLOAT_BITS


@dataclass(frozen=True)
class BitAssignment:
    """Bit widths by the place in the network.

    Args:
        bits: of everything that the others do not name.
        patch_embed: of the layer that sees the image.
        head: of the classifier.
        patterns: with the bits of what each names, before all others; the last that fits wins.
    """

    bits: Bits
    patch_embed: Bits
    head: Bits
    patterns: tuple[tuple[str, Bits], ...] = ()


def parse_bits(text: str, label: str = "--bits") -> Bits:
    """Read ``w<weight bits>a<activation bits>`` or ``w<weight bits>i16``, in either case.

    Raises:
        UserError: the text has another form or names a width that is not supported.
    """
    match = _FORM.fullmatch(text.strip())
    if match:
        weight, signed, activation = float(match[1]), match[2].lower() == "i", int(match[3])
        accepted = SIGNED_ACTIVATION_BITS if signed else ACTIVATION_BITS
        if weight in WEIGHT_BITS and activation in accepted:
            return Bits(weight if weight == TERNARY else int(weight), activation, signed)
    weights = ", ".join(f"{b:g}" for b in WEIGHT_BITS)
    activations = ", ".join(map(str, ACTIVATION_BITS))
    raise UserError(
        f"{label}: {text!r} is not a bit width; write w<weights>a<activations> with weights in "
        f"{weights} (1.58 is ternary) and activations in {activations} (16 leaves them float), "
        f"such as w4a4, w3a3, w1.58a8, w8a8, w4a16, or w<weights>i16 for activations of 16-bit "
        f"integers, such as w8i16"
    )
