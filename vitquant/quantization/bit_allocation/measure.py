"""What is lost when points of a network are quantized, without labels."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vitquant.config.bits import Bits
from vitquant.core import distributed
from vitquant.data.loader import load_batches
from vitquant.quantization.bit_allocation.cached_blocks import CachedBlocks
from vitquant.quantization.bit_allocation.switchable import SwitchableModel
from vitquant.quantization.graph.points import QuantizationPoints
from vitquant.quantization.ptq.context import PTQContext
from vitquant.quantization.training.features import Outputs
from vitquant.quantization.training.losses import logit_loss

# Blocks' outputs of so many images of a ViT-B/16 take 230 MB.
_BATCH = 32
# Of outputs that are no numbers: more than a model that knows nothing loses.
_LOST = 1e3

Change = Mapping[str, Bits | None]
"""Points by name, with the bits that they are set to; None for float."""


class Loss(NamedTuple):
    """Of a quantized network against the float one, mean over the images.

    divergence: of the outputs: the KL divergence of class probabilities in nats; without classes,
    the squared error over the mean square. agreement: the fraction of images with the same top-1
    prediction; None without classes.
    """

    divergence: float
    agreement: float | None


class Measure:
    """Measures a network of which points are quantized.

    Args:
        context: with the float model and the images.
        model: its copy; whoever quantizes points of it measures it here.
        images: how many of the context's first images it is measured on.
    """

    def __init__(self, context: PTQContext, model: SwitchableModel, images: int) -> None:
        self.model = model
        self.images = min(images, len(context.images))
        self._progress = context.progress
        self._classifies = context.model.num_classes > 1
        self._start = first_blocks(context.points)
        forward, transform = context.model.adapter.forward, context.model.transform()
        # Every process has all images, and its share of the changes.
        loaded = load_batches(context.images, range(self.images), transform, _BATCH)
        blocks = context.points.blocks
        self._parts = [
            CachedBlocks(model.module, blocks, forward, batch.to(context.device))
            for batch, _ in loaded
        ]
        with torch.inference_mode():
            self._expected = [forward(context.float_model, p.images) for p in self._parts]

    def record(self) -> Loss:
        """Measure the network as it is; later changes are changes of this."""
        return self._loss([part.record() for part in self._parts])

    def now(self) -> Loss:
        """Measure the network as it is."""
        return self._loss([part.run_from(0) for part in self._parts])

    def losses(self, changes: Sequence[Change], what: str) -> list[Loss]:
        """With each change made alone to what was recorded. what: a word for the progress bar.

        A collective of all processes, which divide the changes.
        """
        found = torch.zeros(len(changes), 2, dtype=torch.float64)
        own = range(distributed.rank(), len(changes), distributed.world_size())
        for i in self._progress.track(own, len(own), what):
            divergence, agreement = self._changed(changes[i])
            found[i] = torch.tensor([divergence, agreement or 0.0])
        distributed.all_reduce([found])
        return [Loss(d, a if self._classifies else None) for d, a in found.tolist()]

    def _changed(self, change: Change) -> Loss:
        before = self.model.set(change)
        start = min((self._start[name] for name in change), default=0)
        found = self._loss([part.run_from(start) for part in self._parts])
        self.model.set(before)
        return found

    def _loss(self, outputs: list[Tensor]) -> Loss:
        total = agreed = 0.0
        for found, expected in zip(outputs, self._expected, strict=True):
            loss = logit_loss(Outputs([], found), Outputs([], expected), self._classifies)
            total += float(loss.nan_to_num(_LOST, _LOST).clamp(0, _LOST)) * len(found)
            if self._classifies:
                same = found.argmax(-1) == expected.argmax(-1)
                agreed += float((same & found.isfinite().all(-1)).sum())
        return Loss(total / self.images, agreed / self.images if self._classifies else None)


def first_blocks(points: QuantizationPoints) -> dict[str, int]:
    """By point, which transformer block is the first that depends on it; their number if none does.

    Layers outside of blocks are known by what runs after them.
    """
    order = [point.name for point in points.layers]
    inside = {name: _block_of(name, points.blocks) for name in order}
    found: dict[str, int] = {}
    for place, name in enumerate(order):
        own = inside[name]
        later = [b for other in order[place:] if (b := inside[other]) is not None]
        found[name] = own if own is not None else min(later, default=len(points.blocks))
    for matmul in points.matmuls:
        own = _block_of(matmul.name, points.blocks)
        beside = [found[name] for name in order if name.startswith(f"{matmul.module}.")]
        found[matmul.name] = own if own is not None else min(beside, default=0)
    return found


def _block_of(name: str, blocks: Sequence[str]) -> int | None:
    return next((i for i, block in enumerate(blocks) if name.startswith(f"{block}.")), None)
