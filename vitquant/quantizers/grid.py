"""The integers that a quantized tensor may hold."""

from dataclasses import dataclass

FLOAT_BITS = 16
"""Activations of so many bits are not quantized."""


@dataclass(frozen=True)
class Grid:
    """A run of integers, ``qmin`` to ``qmax`` inclusive.

    ``bits`` is what one integer costs in the literature's terms: 1.58 for the three integers of a
    ternary weight, otherwise the whole number of bits.
    """

    bits: float
    qmin: int
    qmax: int

    @property
    def levels(self) -> int:
        return self.qmax - self.qmin + 1

    @property
    def ternary(self) -> bool:
        return self.levels == 3


@dataclass(frozen=True)
class RowGrids:
    """``front`` for ``count`` rows at the front of an activation, ``others`` for those behind.

    Integers of ``front`` count from the zero of the values: these rows have no zero point.
    """

    front: Grid
    others: Grid
    count: int


def weight_grid(bits: float) -> Grid:
    """Signed integers; ternary (BitNet b1.58) for 1.58 bits."""
    if bits == 1.58:
        return Grid(1.58, -1, 1)
    return signed_grid(int(bits))


def signed_grid(bits: int) -> Grid:
    """Signed integers in two's complement."""
    return Grid(bits, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def activation_grid(bits: int) -> Grid:
    """Unsigned integers, to be used with a zero point."""
    return Grid(bits, 0, 2**bits - 1)


def front_grid(others: Grid | None, bits: int | None) -> Grid | None:
    """Of so many bits, for rows at the front; None where the others' have as many, or are float."""
    return None if others is None or bits is None or bits <= others.bits else signed_grid(bits)


def grids(weight: float, activation: int) -> tuple[Grid, Grid | None]:
    """The grids of a layer's weight and input; None for an input that stays float."""
    return weight_grid(weight), None if activation == FLOAT_BITS else activation_grid(activation)
