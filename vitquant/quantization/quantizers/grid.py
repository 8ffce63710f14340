"""The integers that a quantized tensor may hold."""

from dataclasses import dataclass

from vitquant.config.bits import Bits


@dataclass(frozen=True)
class Grid:
    """A run of integers, ``qmin`` to ``qmax`` inclusive.

    ``bits`` is what one integer costs in the literature's terms: 1.58 for the three integers of a
    ternary weight, otherwise the whole number of bits. Integers of an activation that are signed
    stand for values around zero: the zero point is 0.
    """

    bits: float
    qmin: int
    qmax: int

    @property
    def levels(self) -> int:
        return self.qmax - self.qmin + 1

    @property
    def middle(self) -> int:
        """The integer that stands for 0 where values are as far below 0 as above it."""
        return (self.qmin + self.qmax + 1) // 2

    @property
    def signed(self) -> bool:
        return self.qmin < 0

    @property
    def ternary(self) -> bool:
        return self.levels == 3


@dataclass(frozen=True)
class PrefixFormat:
    """The first ``count`` rows of an activation have scales of their own.

    With ``grid``, they have more levels than the others too, and no zero point: the integer 0
    stands for 0.
    """

    count: int = 0
    grid: Grid | None = None


NO_PREFIX = PrefixFormat()


@dataclass(frozen=True)
class PrefixGrids:
    """``prefix`` for the first ``count`` rows of an activation, ``others`` for those behind."""

    prefix: Grid
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


def activation_grid(bits: int, signed: bool = False) -> Grid:
    """Unsigned integers, to be used with a zero point, or signed ones around 0."""
    return signed_grid(bits) if signed else Grid(bits, 0, 2**bits - 1)


def prefix_format(count: int, others: Grid | None, bits: int | None = None) -> PrefixFormat:
    """So many rows with so many bits, or as many as the others', if that is more.

    No rows where the activation, whose grid is ``others``, is float.
    """
    if others is None:
        return NO_PREFIX
    return PrefixFormat(count, None if bits is None or bits <= others.bits else signed_grid(bits))


def grids(bits: Bits) -> tuple[Grid, Grid | None]:
    """The grids of a layer's weight and of activations; None for activations that stay float."""
    activation = activation_grid(bits.activation, bits.signed)
    return weight_grid(bits.weight), activation if bits.quantizes_activations else None
