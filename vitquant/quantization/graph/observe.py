"""Samples of a float model's activations: of each tensor that is to be quantized.

Which rows of an image are sampled depends on the image's number, the layer's and the seed, not on
the images beside it: several processes that share the images sample what one would.
"""

import math
import random
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitquant.core import distributed
from vitquant.quantization.graph.points import QuantizationPoints
from vitquant.quantization.graph.trace import trace

_VALUES = 1 << 18
_MATMUL_VALUES = 1 << 19
_ROWS = 16


@dataclass
class Sample:
    """Rows sampled from an activation whose last dimension has C elements.

    rows: (N, C). channel_max: (C,), the largest magnitude in each channel among all rows,
    sampled or not. prefix_rows: (B, P, C), each image's class tokens and registers; P is 0 where
    there are none.
    """

    rows: Tensor
    channel_max: Tensor
    prefix_rows: Tensor


class ActivationSamples:
    """Samples of every layer's input and every matmul's operands.

    layers: by layer name. matmuls: (left, right), by module name and index.

    Args:
        images: numbers of the images that the model is shown here, contiguous.
        total: of the images that it is shown here and in other processes.
    """

    def __init__(self, points: QuantizationPoints, seed: int, images: range, total: int) -> None:
        self.layers: dict[str, Sample] = {}
        self.matmuls: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}
        self._prefix_tokens = {point.name: point.prefix_tokens for point in points.layers}
        # Not the name, which differs between libraries that build the same network.
        self._order = {point.name: i for i, point in enumerate(points.layers)}
        self._seed, self._images, self._total = seed, images, total

    def on_layer(self, layer: str, caller: str, x: Tensor) -> None:
        if layer in self._prefix_tokens:
            self.layers[layer] = self._sample(layer, x.detach())

    def on_matmul(self, caller: str, index: int, left: Tensor, right: Tensor) -> None:
        kept = max(1, _MATMUL_VALUES // max(left[0].numel(), right[0].numel()))
        stride = max(1, math.ceil(len(left) / len(self._images) * self._total / kept))
        self.matmuls[caller, index] = self._every(stride, left), self._every(stride, right)

    def on_unsupported(self, caller: str, what: str) -> None:
        pass

    def merge(self) -> None:
        """Make this the sample of the images of all processes, in every one of them."""
        for sample in self.layers.values():
            sample.rows = distributed.all_gather(sample.rows)
            sample.channel_max = distributed.all_reduce_max(sample.channel_max)
            sample.prefix_rows = distributed.all_gather(sample.prefix_rows)
        for key, (left, right) in self.matmuls.items():
            self.matmuls[key] = distributed.all_gather(left), distributed.all_gather(right)

    def _every(self, stride: int, x: Tensor) -> Tensor:
        """Every so many elements of (B * windows, ...), counted from the first image of all."""
        if not self._has_images(x):
            return self._of_first(x).clone()
        start = self._images.start * (len(x) // len(self._images))
        return x[-start % stride :: stride].clone()

    def _sample(self, layer: str, x: Tensor) -> Sample:
        """From (B, ..., C), or from (B * windows, ..., C) with an image's windows together."""
        width = x.shape[-1]
        if not self._has_images(x):
            rows = x.flatten(0, -2)
            none = rows.new_empty(0, 0, width)
            return Sample(self._of_first(rows).clone(), rows.abs().amax(0), none)
        rows = x.reshape(len(self._images), -1, width)
        prefix_rows = rows[:, : self._prefix_tokens[layer]].clone()
        available = rows.shape[1]
        count = math.ceil(max(_ROWS, _VALUES // width) / self._total)
        channel_max = rows.abs().amax((0, 1))
        if count < available:
            chosen = torch.tensor(
                [self._sample_rows(layer, i, count, available) for i in self._images]
            )
            rows = rows.gather(1, chosen.to(x.device)[..., None].expand(-1, -1, width))
        return Sample(rows.flatten(0, 1).clone(), channel_max, prefix_rows)

    def _has_images(self, x: Tensor) -> bool:
        """Whether each image has a part of its own in x, as in nearly all that is computed."""
        return len(x) % len(self._images) == 0

    def _of_first(self, x: Tensor) -> Tensor:
        """What all images share, once."""
        return x if self._images.start == 0 else x[:0]

    def _sample_rows(self, layer: str, image: int, count: int, available: int) -> list[int]:
        return random.Random(f"{self._seed}/{self._order[layer]}/{image}").sample(
            range(available), count
        )


def observe(
    model: nn.Module,
    images: Tensor,
    points: QuantizationPoints,
    seed: int,
    indices: range | None = None,
    total: int | None = None,
) -> ActivationSamples:
    """Sample the activations of a float model in eval mode on ``images`` (B, C, H, W).

    indices, total: where ``images`` are some of the images that several processes show the model,
    their numbers and how many there are of all; every process then gets the samples of all, and all
    have to call this together.
    """
    indices, total = indices or range(len(images)), total or len(images)
    samples = ActivationSamples(points, seed, indices, total)
    trace(model, images, samples)
    if len(indices) < total:
        samples.merge()
    return samples
