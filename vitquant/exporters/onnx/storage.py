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
    high: the levels of the checkpoint in stored integers; a byte may have more.
    """

    scale: np.ndarray
    zero_point: np.ndarray
    low: int
    high: int
    axis: int | None = None

    @classmethod
    def of(cls, quantizer: FrozenQuantizer, symmetry: Symmetry = Symmetry.NONE) -> Self:
        """As unsigned bytes; as signed ones around 0 where a target's symmetry asks for that.

        A signed grid as int16.
        """
        grid, zero_point = quantizer.grid, int(quantizer.zero_point)
        scale = quantizer.scale.numpy()
        if grid.signed:
            return cls(scale, np.array(0, np.int16), grid.qmin, grid.qmax)
        if symmetry.holds(True) and zero_point == grid.middle:
            low, high = grid.qmin - zero_point, grid.qmax - zero_point
            return cls(scale, np.array(0, np.int8), low, high)
        return cls(scale, np.array(zero_point, np.uint8), grid.qmin, grid.qmax)

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
    def clips(self) -> tuple[int | None, int | None]:
        """The levels at which rounding to a byte does not clip by itself."""
        info = np.iinfo(self.zero_point.dtype)
        low = self.low if self.low > info.min else None
        return low, self.high if self.high < info.max else None
