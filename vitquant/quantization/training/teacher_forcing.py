"""Teacher forcing: training starts block by block and becomes joint.

With few bits, what the first blocks of a quantized model put out is wrong at the start, and later
blocks learn to put right what soon is no longer there. So at first each block is fed the float
model's features instead of those of the block before it, then a mixture with less and less of the
float model's, and in the end what it will be fed in use. As with recurrent networks (Williams and
Zipser, 1989; scheduled sampling, Bengio et al., arXiv 1506.03099); Teacher Intervention (Kim et
al., arXiv 2302.11812) is the same thought for quantized language models. Gradients cross from
block to block as far as features do: from BRECQ's local ones to those of joint training.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from vitquant.config.quantize import QuantizeSettings


class TeacherForcing(NamedTuple):
    """What blocks are fed: ``ratio`` (0 to 1) of each of the float model's ``features``."""

    features: list[Tensor]
    ratio: float

    def mix(self, block: int, feature: Tensor) -> Tensor:
        """What follows a block, in their order, that has put out ``feature``."""
        if not self.ratio:
            return feature
        return torch.lerp(feature, self.features[block].to(feature), self.ratio)


def teacher_forcing_ratio(step: int, settings: QuantizeSettings) -> float:
    """The float model's share in a step, counted from 1: from 1 in even steps down to 0."""
    forced = settings.teacher_forcing * settings.steps
    return max(0.0, 1 - (step - 1) / forced) if forced else 0.0
