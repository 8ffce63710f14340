"""The outputs of a model and of its reference, batch by batch."""

import time
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from vitquant.core import distributed
from vitquant.core.progress import Progress
from vitquant.data.image_source import ImageSource
from vitquant.data.loader import load_batches
from vitquant.models.model import Model


class Outputs(NamedTuple):
    """Of a batch of images.

    labels: (B,) int64, -1 where unknown. found: (B, ...) of the model. expected: (B, ...) of the
    reference; None without one. seconds: that the model took.
    """

    labels: Tensor
    found: Tensor
    expected: Tensor | None
    seconds: float


def run_side_by_side(
    model: Model,
    images: ImageSource,
    batch_size: int,
    reference: Model | None,
    progress: Progress,
    device: str,
    labeled_only: bool,
) -> Iterator[Outputs]:
    """Run a model, and a reference on the same images with the reference's own preprocessing.

    Several processes divide the images, whole batches to each.

    Args:
        labeled_only: leave out images without a known label.

    Raises:
        UserError: an image cannot be read.
    """
    batch_size = min(batch_size, model.max_batch or batch_size)
    order = distributed.rank_slice(len(images), batch_size)
    loaded = load_batches(images, order, model.transform(), batch_size)
    others = None
    if reference is not None and not reference.preprocesses_like(model):
        others = load_batches(images, order, reference.transform(), batch_size)
    for batch, labels in progress.track(loaded, -(-len(order) // batch_size), "evaluating"):
        used = labels >= 0 if labeled_only else torch.ones_like(labels, dtype=torch.bool)
        batch, labels = batch[used].to(device), labels[used].to(device)
        other = next(others)[0][used].to(device) if others else batch
        if not len(labels):
            continue
        start = time.perf_counter()
        found = model(batch)
        if found.is_cuda:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        yield Outputs(labels, found, None if reference is None else reference(other), seconds)
