"""``w4a4`` → a value, and which place in a network has which bits."""

import re
from dataclasses import dataclass

from vitquant.core.errors import UserError

FLOAT_BITS = 16
"""Bits of activations that stay float."""
TERNARY = 1.58
WEIGHT_BITS = (TERNARY, 2, 3, 4, 5, 6, 7, 8)
ACTIVATION_BITS = (2, 3, 4, 5, 6, 7, 8, FLOAT_BITS)

_FORM = re.compile(r"w(\d+(?:\.\d+)?)a(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Bits:
    """Bit widths of weights and activations. 16-bit activations mean that they stay float."""

    weight: float
    activation: int

    def __str__(self) -> str:
        return f"w{self.weight:g}a{self.activation}"

    @property
    def quantizes_activations(self) -> bool:
        return self.activation != FLOAT_BITS


@dataclass(frozen=True)
class BitAssignment:
    """Bit widths by the place in the network.

    Args:
        bits: of everything that the other two do not name.
        patch_embed: of the layer that sees the image.
        head: of the classifier.
    """

    bits: Bits
    patch_embed: Bits
    head: Bits


def parse_bits(text: str, label: str = "--bits") -> Bits:
    """Read ``w<weight bits>a<activation bits>``, in either case.

    Raises:
        UserError: the text has another form or names a width that is not supported.
    """
    match = _FORM.fullmatch(text.strip())
    if match:
        weight, activation = float(match[1]), int(match[2])
        if weight in WEIGHT_BITS and activation in ACTIVATION_BITS:
            return Bits(weight if weight == TERNARY else int(weight), activation)
    weights = ", ".join(f"{b:g}" for b in WEIGHT_BITS)
    activations = ", ".join(map(str, ACTIVATION_BITS))
    raise UserError(
        f"{label}: {text!r} is not a bit width; write w<weights>a<activations> with weights in "
        f"{weights} (1.58 is ternary) and activations in {activations} (16 leaves them float), "
        f"such as w4a4, w3a3, w1.58a8, w8a8, w4a16"
    )
