"""From easy to hard: how an inversion changes over its iterations."""

import math
from dataclasses import dataclass

_WARM_UP = 0.2
# PSAQ-ViT shifts by up to 15 of 224 pixels in the first round and 30 in the second.
_JITTER = 15 / 224


@dataclass(frozen=True)
class Schedule:
    """What is done in each iteration, counted from 0, of ``iterations`` in ``rounds`` equal parts.

    smallest: the share of the image's area that is looked at in the last iteration; 1 for the whole
    image throughout.
    """

    iterations: int
    rounds: int
    smallest: float

    def area(self, iteration: int) -> float:
        """The share of the image's area that is looked at: from 1 down in equal steps of its side.

        DFQ-ViT (arXiv 2507.14481) synthesises images in order of increasing difficulty, to balance
        global and local features. A whole image is easy; the smaller a part, the harder it is to
        show the class in it.
        """
        progress = iteration / max(1, self.iterations - 1)
        side = 1 + (math.sqrt(self.smallest) - 1) * progress
        return side * side

    def rate(self, iteration: int) -> float:
        """The learning rate, as a share of its maximum: up a line, down a cosine in each round."""
        done, length = self._within(iteration)
        warm_up = max(1, round(_WARM_UP * length))
        if done < warm_up:
            return (done + 1) / warm_up
        return 0.5 * (1 + math.cos(math.pi * (done - warm_up) / max(1, length - warm_up)))

    def jitter(self, iteration: int, side: int) -> int:
        """By how many pixels of ``side`` the image is shifted at most; more in each round."""
        return round(_JITTER * side * (1 + self._round(iteration)))

    def _round(self, iteration: int) -> int:
        return min(self.rounds - 1, iteration * self.rounds // self.iterations)

    def _within(self, iteration: int) -> tuple[int, int]:
        """Iterations done of the round, and its length."""
        number = self._round(iteration)
        start, end = (-(-self.iterations * n // self.rounds) for n in (number, number + 1))
        return iteration - start, end - start
