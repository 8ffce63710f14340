"""What a method works on."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn
from torchvision.transforms.v2.functional import pil_to_tensor

from vitquant import parallel
from vitquant.data.augment import Augmentation, Views
from vitquant.data.batches import batches
from vitquant.data.image_source import ImageSource
from vitquant.methods.samples import Samples, collect
from vitquant.methods.settings import Settings
from vitquant.methods.state import State
from vitquant.models.folding import Fold, find_folds
from vitquant.models.model import Model
from vitquant.models.wiring import Wiring
from vitquant.progress import Progress

Key = tuple[int, int]
"""An image and the number of a view of it."""


@dataclass
class Job:
    """A float model, calibration images, and what to do with them.

    history: one entry for each logged step; a method that trains appends to it. state: where a
    method that can go on after an interruption keeps what that takes; None where nobody asked.
    """

    model: Model
    wiring: Wiring
    images: ImageSource
    settings: Settings
    progress: Progress
    device: torch.device
    history: list[dict[str, float | str]] = field(default_factory=list)
    state: State | None = None

    @property
    def reference(self) -> nn.Module:
        return self.model.module

    @property
    def init_images(self) -> int:
        """How many images initialise the quantizers, in all processes together."""
        return min(self.settings.init_images, len(self.images))

    @cached_property
    def init_share(self) -> range:
        """Which of them this process shows the model; all, where there are too few to divide."""
        divided = self.init_images >= parallel.size()
        return parallel.share(self.init_images) if divided else range(self.init_images)

    @cached_property
    def first_images(self) -> Tensor:
        """(B, C, H, W): this process's share of the images that initialise the quantizers."""
        return self._loaded(self.init_share)

    def _loaded(self, indices: range) -> Tensor:
        loaded = batches(self.images, indices, self.model.transform(), len(indices))
        return next(iter(loaded))[0].to(self.device)

    @cached_property
    def samples(self) -> Samples:
        """Samples of the float model's activations on the first images."""
        return self.sample(self.reference)

    def sample(self, module: nn.Module) -> Samples:
        """Samples of another float model's activations on the same images, of all processes."""
        return collect(
            module,
            self.first_images,
            self.wiring,
            self.settings.seed,
            self.init_share,
            self.init_images,
        )

    @cached_property
    def folds(self) -> list[Fold]:
        """Where divisions of a Linear's input can go."""
        return find_folds(self.reference, self._loaded(range(1)), self.wiring)

    def views(self, done: int = 0) -> Iterator[tuple[Tensor, list[Key]]]:
        """Random views of the calibration images, (B, C, H, W) for every step after ``done`` steps.

        B is this process's share of the batch. Beside them their keys: equal ones mark equal views.
        """
        settings, preprocessing = self.settings, self.model.preprocessing
        views = Views(
            self.images,
            list(range(len(self.images))),
            self.model.input_size[1:],
            Augmentation(
                settings.min_crop, settings.flip, settings.color, settings.mixup, settings.cutmix
            ),
            settings.steps * settings.batch_size,
            settings.seed,
            recurring=settings.views,
        )
        mean, std = (
            torch.tensor(preprocessing[k], device=self.device).view(-1, 1, 1) * 255
            for k in ("mean", "std")
        )
        share = parallel.share(settings.batch_size)
        starts = range(done * settings.batch_size, len(views), settings.batch_size)
        order = [start + i for start in starts for i in share]
        # One thread: more would take the cores from the step, which waits for all of its own.
        loaded = batches(views, order, pil_to_tensor, len(share), threads=1)
        for start, (images, _) in zip(starts, loaded, strict=True):
            yield (images.to(self.device) - mean) / std, [views.key(start + i) for i in share]
