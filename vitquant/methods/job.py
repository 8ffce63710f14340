"""What a method works on."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn
from torchvision.transforms.v2.functional import pil_to_tensor

from vitquant.data.augment import Augmentation, Views
from vitquant.data.batches import batches
from vitquant.data.image_source import ImageSource
from vitquant.methods.samples import Samples, collect
from vitquant.methods.settings import Settings
from vitquant.models.folding import Fold, find_folds
from vitquant.models.model import Model
from vitquant.models.wiring import Wiring
from vitquant.progress import Progress


@dataclass
class Job:
    """A float model, calibration images, and what to do with them.

    history: one entry for each logged step; a method that trains appends to it.
    """

    model: Model
    wiring: Wiring
    images: ImageSource
    settings: Settings
    progress: Progress
    device: torch.device
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def reference(self) -> nn.Module:
        return self.model.module

    @cached_property
    def first_images(self) -> Tensor:
        """(B, C, H, W): the images that initialise the quantizers."""
        count = min(self.settings.init_images, len(self.images))
        loaded = batches(self.images, range(count), self.model.transform(), count)
        return next(iter(loaded))[0].to(self.device)

    @cached_property
    def samples(self) -> Samples:
        """Samples of the float model's activations on the first images."""
        return self.sample(self.reference)

    def sample(self, module: nn.Module) -> Samples:
        """Samples of another float model's activations on the same images."""
        return collect(module, self.first_images, self.wiring, self.settings.seed)

    @cached_property
    def folds(self) -> list[Fold]:
        """Where divisions of a Linear's input can go."""
        return find_folds(self.reference, self.first_images[:1], self.wiring)

    def views(self) -> Iterator[Tensor]:
        """Random views of the calibration images: (batch_size, C, H, W) for every step."""
        settings, preprocessing = self.settings, self.model.preprocessing
        views = Views(
            self.images,
            list(range(len(self.images))),
            self.model.input_size[1:],
            Augmentation(settings.min_crop, settings.flip),
            settings.steps * settings.batch_size,
            settings.seed,
        )
        mean, std = (
            torch.tensor(preprocessing[k], device=self.device).view(-1, 1, 1) * 255
            for k in ("mean", "std")
        )
        # One thread: more would take the cores from the step, which waits for all of its own.
        order = range(len(views))
        for images, _ in batches(views, order, pil_to_tensor, settings.batch_size, threads=1):
            yield (images.to(self.device) - mean) / std
