"""Augmented batches of the calibration images, this process's part of each."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from vitquant.core import distributed
from vitquant.data.augment import Augmentation, Views
from vitquant.data.loader import load_batches
from vitquant.models.model import Model
from vitquant.quantization.ptq.context import PTQContext

Key = tuple[int, int]
"""An image and the number of a view of it."""


def training_batches(context: PTQContext, done: int = 0) -> Iterator[tuple[Tensor, list[Key]]]:
    """Random views of the calibration images, (B, C, H, W) for every step after ``done`` steps.

    Texts are not changed: their tokens, (B, L). B is this process's share of the batch. Beside them
    their keys: equal ones mark equal views.
    """
    settings, model = context.settings, context.model
    views = Views(
        context.images,
        list(range(len(context.images))),
        None if model.reads_text else model.image_size,
        Augmentation(
            settings.min_crop,
            settings.hflip,
            settings.color_jitter,
            settings.mixup,
            settings.cutmix,
        ),
        settings.steps * settings.batch_size,
        settings.seed,
        recurring=settings.views,
    )
    share = distributed.rank_slice(settings.batch_size)
    starts = range(done * settings.batch_size, len(views), settings.batch_size)
    order = [start + i for start in starts for i in share]
    transform, normalize = _transforms(model, context.device)
    # One thread: more would take the cores from the step, which waits for all of its own.
    loaded = load_batches(views, order, transform, len(share), threads=1)
    for start, (images, _) in zip(starts, loaded, strict=True):
        yield normalize(images.to(context.device)), [views.key(start + i) for i in share]


def _transforms(
    model: Model, device: torch.device
) -> tuple[Callable[[Any], Tensor], Callable[[Tensor], Tensor]]:
    """From a view, which has the size already, to a tensor, and from a batch to the input."""
    if "mean" not in model.preprocessing:  # of texts, or a function in Python
        return model.transform(), lambda images: images
    mean, std = (
        torch.tensor(model.preprocessing[k], device=device).view(-1, 1, 1) * 255
        for k in ("mean", "std")
    )
    mode = model.image_mode
    return lambda view: pil_to_tensor(view.convert(mode)), lambda images: (images - mean) / std
