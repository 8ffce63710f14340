"""How the integers of an activation are stored."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from vitquant.config.targets.base import Symmetry
from vitquant.quantization.quantizers.modules import FrozenQuantizer


@dataclass(frozen=True)
class Storage:
    """An affine map to integers.

    scale: float32, () or, along ``axis``, (N,). zero_point: of the type that is stored, (). low,
    high: the levels of the checkpoint in stored integers; a byte may have more. clips_integers:
    whether what is beyond them is clipped as integers, of which there is a quarter as much to move,
    rather than as floats in front.
    """

    scale: np.ndarray
    zero_point: np.ndarray
    low: int
    high: int
    axis: int | None = None
    clips_integers: bool = False

    @classmethod
    def of(
        cls,
        quantizer: FrozenQuantizer,
        symmetry: Symmetry = Symmetry.NONE,
        clips_integers: bool = False,
    ) -> Self:
        """As unsigned bytes; as signed ones around 0 where a target's symmetry asks for that.

        A signed grid as int16.
        """
        grid, zero_point, offset = quantizer.grid, int(quantizer.zero_point), 0
        kind: type[np.integer] = np.uint8
        if grid.signed:
            kind = np.int16
        elif symmetry.holds(True) and zero_point == grid.middle:
            kind, offset = np.int8, zero_point
        return cls(
            scale=quantizer.scale.numpy(),
            zero_point=np.array(zero_point - offset, kind),
            low=grid.qmin - offset,
            high=grid.qmax - offset,
            clips_integers=clips_integers,
        )

    def with_scale(self, scale: np.ndarray, axis: int | None = None) -> Self:
        """The same levels, other steps."""
        return replace(self, scale=scale, axis=axis)

    def with_zero_point(self, zero_point: int) -> Self:
        """Of values that are within their levels already, wherever these are in a byte."""
        info = np.iinfo(self.zero_point.dtype)
        point = np.array(zero_point, self.zero_point.dtype)
        return replace(self, zero_point=point, low=int(info.min), high=int(info.max))

    def never_negative(self) -> Self:
        """For values of which none is below 0, with 0 as the lowest level.

        The levels move to the top of a byte: above, a byte ends where they do, and below, there is
        nothing to clip.
        """
        info = np.iinfo(self.zero_point.dtype)
        if int(self.zero_point) != self.low:
            return self
        lowest = int(info.max) - (self.high - self.low)
        return self.with_zero_point(lowest)

    @property
    def clips(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The lowest and the highest level, of the type that is stored, where that does not end
        with them by itself; None where it does."""
        kind = self.zero_point.dtype
        low = np.array(self.low, kind) if self.low > np.iinfo(kind).min else None
        return low, np.array(self.high, kind) if self.high < np.iinfo(kind).max else None
