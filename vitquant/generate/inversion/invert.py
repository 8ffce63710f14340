"""Make a folder of images by inversion, groups of images shared out between the processes."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import vitquant
from vitquant.core import distributed
from vitquant.core.errors import UserError
from vitquant.core.progress import Progress
from vitquant.generate.contact_sheet import write_sheet
from vitquant.generate.drawing import Drawing
from vitquant.generate.duration import Stopwatch
from vitquant.generate.image_folder import (
    Images,
    class_folder,
    finish,
    keep,
    kept,
    made_before,
    read_index,
    sheet_of,
)
from vitquant.generate.inversion.frame import framed
from vitquant.generate.inversion.optimise import invert, normalisation
from vitquant.generate.inversion.settings import InversionSettings
from vitquant.generate.names import Subject, subjects
from vitquant.generate.noise import seed_of
from vitquant.generate.parts import Parts
from vitquant.models.model import Model
from vitquant.quantization.graph.points import example_inputs, find_points


class Aim(NamedTuple):
    """An image to be made: its number in the run, its class, and its number in that."""

    number: int
    subject: Subject
    of_class: int


@dataclass(frozen=True)
class Inversion:
    """What is made, from which model.

    subjects: the classes that the images show.
    """

    model: Model
    subjects: list[Subject]
    settings: InversionSettings
    device: str = "cpu"

    def __str__(self) -> str:
        settings = self.settings
        how = "the whole image" if settings.plain else "from the whole image to small crops"
        return (
            f"{settings.samples} images inverted from {self.model.identity.name} on {self.device}, "
            f"{settings.iterations} iterations each, {how}"
        )

    def run(self) -> dict[str, Any]:
        """What the images depend on, for the folder and to tell runs apart."""
        return {
            "vitquant": vitquant.__version__,
            "inversion": self.settings.to_json(),
            "model": self.model.identity.to_json(),
            "classes": [[s.index, s.phrase] for s in self.subjects],
        }

    def aims(self) -> list[Aim]:
        """The images: all classes in random order, then again, until there are enough."""
        draw = random.Random(seed_of(self.settings.seed, "classes"))
        count = len(self.subjects)
        rounds = [
            draw.sample(self.subjects, count) for _ in range(-(-self.settings.samples // count))
        ]
        shown = [
            Aim(i, rounds[i // count][i % count], i // count) for i in range(count * len(rounds))
        ]
        return shown[: self.settings.samples]

    def groups(self) -> list[list[Aim]]:
        """Images that are made side by side."""
        aims, size = self.aims(), self.settings.batch_size
        return [aims[i : i + size] for i in range(0, len(aims), size)]


def aims_of(model: Model, file: Path | None = None) -> list[Subject]:
    """The classes that images can be made of; their names are not needed, but told if known.

    file: see :func:`vitquant.generate.names.subjects`.

    Raises:
        UserError: the model classifies nothing, or the file cannot be used.
    """
    if not model.num_classes:
        raise UserError(
            f"MODEL: {model.identity.name} has no classifier, and an image is optimised towards a "
            f"class; --calib with a folder of images is accepted"
        )
    if file is None and model.classes is None:
        return [Subject(i, str(i)) for i in range(model.num_classes)]
    return subjects(model, file)


def make_images(
    inversion: Inversion,
    path: Path,
    progress: Progress,
    tell: Callable[[float], None] = lambda seconds: None,
) -> Images:
    """Make the images that are missing, and write folder and contact sheet.

    A run that was interrupted goes on with the groups that are missing, and ends with the same
    folder. A folder that is there already, made with the same settings, is left as it is. ``tell``
    hears after a minute or so how many seconds the run takes, and may raise.

    Raises:
        UserError: there is something else at ``path``, or it cannot be written.
    """
    run = inversion.run()
    before = made_before(path, run, progress)
    if before is not None:
        return before
    parts = Parts.beside(path)
    parts.begin(run, progress)
    groups = inversion.groups()
    missing = [i for i in range(len(groups)) if kept(parts, i) is None]
    _make(inversion, parts.deal(missing), parts, progress, tell)
    distributed.barrier()
    if distributed.is_main():
        pieces = [kept(parts, i) for i in range(len(groups))]
        rows = [row for piece in pieces if piece for row in piece[1]]
        finish(parts, path, {"run": run, "rejected": 0}, rows)
        # A column for each image of a class: the sheet's columns are modes.
        numbered = zip(rows, inversion.aims(), strict=True)
        write_sheet(sheet_of(path), path, [row | {"mode": aim.of_class} for row, aim in numbered])
    distributed.barrier()
    return Images(path, sheet_of(path), read_index(path), 0)


def _make(
    inversion: Inversion,
    numbers: Sequence[int],
    parts: Parts,
    progress: Progress,
    tell: Callable[[float], None],
) -> None:
    if not numbers:
        return
    groups, settings, model = inversion.groups(), inversion.settings, inversion.model
    model.module.to(inversion.device).eval().requires_grad_(False)
    example = example_inputs(model.input_size).to(inversion.device)
    attentions = list(find_points(model.module, example).attentions)
    folder = partial(class_folder, classes=model.classes)
    total = len(numbers) * settings.iterations
    ticks: Iterator[int] = progress.track(range(total), total, "inverting")
    watch = Stopwatch(total, tell)

    def tick(status: str) -> None:
        next(ticks, None)
        progress.status(status)
        watch.tick()

    for number in numbers:
        group = groups[number]
        pixels = invert(
            model,
            attentions,
            [aim.number for aim in group],
            [aim.subject.index for aim in group],
            settings,
            inversion.device,
            tick,
        )
        keep(parts, number, _drawings(inversion, group, pixels), folder)
    next(ticks, None)  # closes the bar


@torch.no_grad()
def _drawings(inversion: Inversion, group: list[Aim], pixels: Tensor) -> Iterator[Drawing]:
    model = inversion.model
    mean, std = normalisation(model, pixels.device)
    # The model sees what is written, not what was there before rounding.
    scores = model.module((pixels.float() / 255 - mean) / std).float().softmax(-1).cpu()
    for aim, image, score in zip(group, pixels, scores, strict=True):
        index = aim.subject.index
        yield Drawing(
            aim.subject,
            aim.of_class,
            mode=0,
            text="",
            seed=seed_of(inversion.settings.seed, "inversion", aim.number),
            image=framed(image, model.preprocessing),
            confidence=round(score[index].item(), 4),
            recognised=int(score.argmax()) == index,
        )
