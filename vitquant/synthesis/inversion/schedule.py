"""What is done in each iteration: the rate of learning, and which part of an image is looked at."""

import math
from dataclasses import dataclass

_WARM_UP = 0.2
# PSAQ-ViT shifts by up to 15 of 224 pixels in the first cycle and 30 in the second.
_JITTER = 15 / 224


@dataclass(frozen=True)
class Schedule:
    """What is done in each iteration, counted from 0, of ``iterations`` in ``lr_cycles`` equal
    parts.

    min_crop: the share of the image's area that is looked at in the last iteration; 1 for the whole
    image throughout.
    """

    iterations: int
    lr_cycles: int
    min_crop: float

    def area(self, iteration: int) -> float:
        """The share of the image's area that is looked at: from 1 down in equal steps of its side.

        DFQ-ViT (arXiv 2507.14481) synthesizes images in order of increasing difficulty, to balance
        global and local features. A whole image is easy; the smaller a part, the harder it is to
        show the class in it.
        """
        progress = iteration / max(1, self.iterations - 1)
        side = 1 + (math.sqrt(self.min_crop) - 1) * progress
        return side * side

    def lr_scale(self, iteration: int) -> float:
        """The learning rate, as a share of its maximum: up a line, down a cosine in each cycle."""
        done, length = self._within(iteration)
        warm_up = max(1, round(_WARM_UP * length))
        if done < warm_up:
            return (done + 1) / warm_up
        return 0.5 * (1 + math.cos(math.pi * (done - warm_up) / max(1, length - warm_up)))

    def jitter(self, iteration: int, side: int) -> int:
        """By how many pixels of ``side`` the image is shifted at most; more in each cycle."""
        return round(_JITTER * side * (1 + self._cycle(iteration)))

    def _cycle(self, iteration: int) -> int:
        return min(self.lr_cycles - 1, iteration * self.lr_cycles // self.iterations)

    def _within(self, iteration: int) -> tuple[int, int]:
        """Iterations done of the cycle, and its length."""
        number = self._cycle(iteration)
        start, end = (-(-self.iterations * n // self.lr_cycles) for n in (number, number + 1))
        return iteration - start, end - start
