"""Channel-wise rescaling of a Linear's input (RepQ-ViT, SmoothQuant; joint PTQ, section 1)."""

from enum import Enum

import torch
from torch import Tensor, nn


class Site(str, Enum):
    """Where the division by ``r`` ends up once quantization is done."""

    NORM = "norm"  # in the affine parameters of the normalisation in front
    LINEAR = "linear"  # in the output channels of an earlier Linear
    STORED = "stored"  # nowhere: a per-channel constant fused with quantizing the input


class Rescale(nn.Module):
    """A positive factor ``r`` (channels,): the layer computes with x / r and W * r.

    Args:
        channels: input channels of the layer.
        site: where 1 / r will be folded.
        source: name of the module that it folds into; empty for ``Site.STORED``.
    """

    def __init__(self, channels: int, site: Site, source: str = "") -> None:
        super().__init__()
        self.site = site
        self.source = source
        self.log = nn.Parameter(torch.zeros(channels))

    def factor(self) -> Tensor:
        return self.log.exp()

    def reciprocal(self) -> Tensor:
        return self.log.neg().exp()
