"""What a method works on."""

import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from vitquant.config.quantize import QuantizeSettings
from vitquant.core import distributed
from vitquant.core.progress import Progress
from vitquant.data.image_source import ImageSource
from vitquant.data.loader import load_batches
from vitquant.models.model import Model
from vitquant.quantization.graph.observe import ActivationSamples
from vitquant.quantization.graph.observe import observe as observe_model
from vitquant.quantization.graph.points import QuantizationPoints
from vitquant.quantization.ptq.bit_assignment import PointBits
from vitquant.quantization.transforms import folding


@dataclass(frozen=True)
class InitImages:
    """The first calibration images, on which scales are searched: this process's share of them.

    batch: (B, C, H, W), on the model's device. indices: which images they are. total: how many all
    processes have together.
    """

    batch: Tensor
    indices: range
    total: int


@dataclass
class PTQContext:
    """A float model, calibration images, and what to do with them. Data alone.

    history: one entry for each step; a method that trains appends to it. resume: the file in which
    a method that can resume keeps its state; None where it need not. save_every: steps from one
    writing of it to the next; None leaves it to the time that has passed. start: when the work
    began, on the monotonic clock.
    """

    model: Model
    points: QuantizationPoints
    bits: PointBits
    images: ImageSource
    init_images: InitImages
    settings: QuantizeSettings
    progress: Progress
    device: torch.device
    resume: Path | None = None
    save_every: int | None = None
    history: list[dict[str, float | str]] = field(default_factory=list)
    start: float = field(default_factory=time.monotonic)

    @property
    def float_model(self) -> nn.Module:
        return self.model.module


def load_init_images(
    model: Model, images: ImageSource, settings: QuantizeSettings, device: torch.device
) -> InitImages:
    """Decode this process's share of the first images; all, where there are too few to divide."""
    total = min(settings.init_images, len(images))
    divided = total >= distributed.world_size()
    indices = distributed.rank_slice(total) if divided else range(total)
    return InitImages(_load(model, images, indices, device), indices, total)


def observe(context: PTQContext, model: nn.Module | None = None) -> ActivationSamples:
    """Samples of the activations of the float model, or of another float ``model``.

    One forward pass on the images that initialize the quantizers. All processes call it together,
    and each gets the samples of all.
    """
    init = context.init_images
    model = context.float_model if model is None else model
    seed = context.settings.seed
    return observe_model(model, init.batch, context.points, seed, init.indices, init.total)


def find_folds(context: PTQContext) -> list[folding.Fold]:
    """Where divisions of a Linear's input can go; probes the float model with the first image."""
    first = _load(context.model, context.images, range(1), context.device)
    forward = context.model.adapter.forward
    return folding.find_folds(context.float_model, first, context.points, forward)


def _load(model: Model, images: ImageSource, indices: range, device: torch.device) -> Tensor:
    return next(iter(load_batches(images, indices, model.transform(), len(indices))))[0].to(device)
