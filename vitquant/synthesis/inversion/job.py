"""A folder of images by inversion of a model."""

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vitquant.config.synthesize import InversionSettings
from vitquant.core.hashing import seed_of
from vitquant.core.progress import Progress
from vitquant.models.model import Model
from vitquant.quantization.graph.points import example_inputs, find_points
from vitquant.synthesis.image_folder import GeneratedImage, Row
from vitquant.synthesis.image_job import GenerationOptions, ImagePart, ImageSynthesizer
from vitquant.synthesis.inversion.optimize import (
    Subject,
    invert,
    normalization,
)
from vitquant.synthesis.inversion.padding import pad_for_transform
from vitquant.synthesis.inversion.patch_drop import can_drop
from vitquant.synthesis.job import Steps
from vitquant.synthesis.target_classes import TargetClass, target_classes

# What is made at once is so many batches: an image that is finished early makes room for the next.
_GROUP = 2


class InversionTarget(NamedTuple):
    """An image to be made: its number in the run, its class, and its number in that."""

    number: int
    target: TargetClass
    of_class: int


@dataclass(frozen=True)
class Inversion(ImageSynthesizer[list[InversionTarget]]):
    """Images of a model's classes, optimized through the model itself."""

    model: Model
    classes: list[TargetClass]
    settings: InversionSettings
    device: str = "cpu"

    task = "inverting"

    def __str__(self) -> str:
        settings = self.settings
        how = "from the whole image to small crops" if settings.crops else "the whole image"
        return (
            f"{settings.samples} images inverted from {self.model.identity.name}, "
            f"{settings.iterations} iterations each, {how}"
        )

    @property
    def steps(self) -> int:
        return _GROUP * self.settings.iterations

    def header(self) -> dict[str, Any]:
        return super().header() | {"inversion": asdict(self.settings)}

    def targets(self) -> list[InversionTarget]:
        """The images: all classes in random order, then again, until there are enough."""
        rng = random.Random(seed_of(self.settings.seed, "classes"))
        count, samples = len(self.classes), self.settings.samples
        rounds = [rng.sample(self.classes, count) for _ in range(-(-samples // count))]
        return [
            InversionTarget(i, rounds[i // count][i % count], i // count) for i in range(samples)
        ]

    def groups(self) -> list[list[InversionTarget]]:
        """Images that are made side by side."""
        targets, size = self.targets(), _GROUP * self.settings.batch_size
        return [targets[i : i + size] for i in range(0, len(targets), size)]

    def make(self, group: list[InversionTarget], steps: Steps) -> ImagePart:
        done = 0

        def advance(iterations: int, status: str) -> None:
            nonlocal done
            before, done = done, done + iterations
            for _ in range(done // batch_size - before // batch_size):
                steps.advance(status)

        batch_size = self.settings.batch_size
        pixels = invert(
            self._subject,
            [image.number for image in group],
            [image.target.index for image in group],
            self.settings,
            self.device,
            advance,
        )
        return ImagePart(list(self._images(group, pixels)))

    @cached_property
    def _subject(self) -> Subject:
        """The model, frozen, on the device."""
        module = self.model.module.to(self.device).eval().requires_grad_(False)
        example = example_inputs(self.model.input_size).to(self.device)
        points = find_points(module, example)
        drops = self.settings.patch_drop and can_drop(self.model, points.blocks)
        return Subject(self.model, list(points.attentions), points.blocks[0] if drops else "")

    @torch.no_grad()
    def _images(self, group: list[InversionTarget], pixels: Tensor) -> Iterator[GeneratedImage]:
        model = self.model
        mean, std = normalization(model, pixels.device)
        # The model sees what is written, not what was there before rounding.
        scores = model((pixels.float() / 255 - mean) / std).float().softmax(-1).cpu()
        for wanted, image, score in zip(group, pixels, scores, strict=True):
            index = wanted.target.index
            yield GeneratedImage(
                wanted.target,
                wanted.of_class,
                mode=0,
                text="",
                seed=seed_of(self.settings.seed, "inversion", wanted.number),
                image=pad_for_transform(image, model.preprocessing),
                confidence=round(score[index].item(), 4),
                correct=int(score.argmax()) == index,
            )

    def sheet_column(self, row: Row) -> int:
        """The image's number in its class, as its file is called."""
        return int(Path(row["file_name"]).stem)


def build_inversion(
    model: Model, settings: InversionSettings, options: GenerationOptions, progress: Progress
) -> Inversion:
    """Inversion of all classes, or of those that the options name.

    Raises:
        UserError: the model classifies nothing, or the file of classes cannot be used.
    """
    classes = target_classes(model, options.classes, names_needed=False)
    return Inversion(model, classes, settings, options.device)
