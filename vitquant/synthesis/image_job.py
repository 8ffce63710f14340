"""The long run of a synthesizer whose result is a folder of images."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial as bind
from pathlib import Path
from typing import Any, Generic, TypeVar

import vitquant
from vitquant.config.groups.prompts import PromptSettings
from vitquant.config.synthesize import SynthesizeSettings
from vitquant.core.errors import UserError
from vitquant.core.partial_results import PartialResults
from vitquant.core.progress import OnEstimate, Progress, ignore_estimate
from vitquant.models.model import Model, ModelIdentity
from vitquant.synthesis import image_folder
from vitquant.synthesis.contact_sheet import write_sheet
from vitquant.synthesis.diffusion.pipeline import GeneratorIdentity
from vitquant.synthesis.diffusion.prompt_text import PLAIN
from vitquant.synthesis.image_folder import GeneratedFolder, GeneratedImage, Row
from vitquant.synthesis.job import Steps
from vitquant.synthesis.target_classes import TargetClass

Group = TypeVar("Group")


def _ignore_estimates(shorter: str) -> OnEstimate:
    return ignore_estimate


@dataclass(frozen=True)
class GenerationOptions:
    """What a synthesizer is built from besides the model and its own settings.

    Each uses what concerns it.

    Args:
        classes: file of ``--classes``; None for all classes of the model.
        generator: a text-to-image pipeline; None for the one that goes with the model.
        generator_steps: that an image is drawn in.
        decoder: a tiny decoder to learn prompts through; None for the one that goes with the
            generator, ``full`` for none.
        prompts: learned prompts, a file or ``hf://owner/name``; None to learn them.
        prompt_settings: how they are learned; None for as many as there are images.
        templates: texts, "{}" for the class; None for texts with adjectives.
        precision: of the generator.
        device: where everything runs.
        confirm_duration: from how to make a run shorter, in words, to what is called with the
            seconds that it takes, and may raise to stop it.
        before_learning: called with the identities of model and generator before prompts are
            learned for them.
    """

    classes: Path | None = None
    generator: str | None = None
    generator_steps: int = 1
    decoder: str | None = None
    prompts: str | None = None
    prompt_settings: PromptSettings | None = None
    templates: Sequence[str] | None = None
    precision: str = "auto"
    device: str = "cpu"
    confirm_duration: Callable[[str], OnEstimate] = field(default=_ignore_estimates)
    before_learning: Callable[[ModelIdentity, GeneratorIdentity], None] = field(
        default=lambda model, generator: None
    )

    @classmethod
    def of(
        cls, settings: SynthesizeSettings, device: str, confirm: Callable[[str], OnEstimate]
    ) -> "GenerationOptions":
        """What ``vitquant synthesize`` was asked for."""
        templates = None
        if settings.synthesizer == "template" and (settings.text or not settings.adjectives):
            templates = (settings.text or PLAIN,)
        return cls(
            classes=None if settings.classes is None else Path(settings.classes),
            generator=settings.generator,
            generator_steps=settings.generator_steps,
            decoder=settings.decoder,
            prompts=settings.prompts,
            prompt_settings=settings.part(PromptSettings),
            templates=templates,
            precision=settings.precision,
            device=device,
            confirm_duration=confirm,
        )


@dataclass(frozen=True)
class ImagePart:
    """The images of a group, and how many more were generated and rejected."""

    images: Sequence[GeneratedImage]
    rejected: int = 0


class ImageSynthesizer(ABC, Generic[Group]):
    """A :class:`vitquant.synthesis.job.Synthesizer` of a folder of images.

    Written by each kind: ``header``, ``groups`` and ``make``. Its ``str`` says what is made.

    model: whose classes the images show. classes: those classes. task: beside the progress bar.
    steps: of each group.
    """

    kind = "images"
    suffix = ""
    task: str
    model: Model
    classes: list[TargetClass]

    @property
    def steps(self) -> int:
        return 1

    @property
    def image_cost(self) -> float:
        return self.model.image_cost

    @abstractmethod
    def header(self) -> dict[str, Any]:
        """Everything that the images depend on, as JSON; extends what is here."""
        return {
            "vitquant": vitquant.__version__,
            "model": self.model.identity.to_json(),
            "classes": [[target.index, target.name] for target in self.classes],
        }

    @abstractmethod
    def groups(self) -> Sequence[Group]:
        """What is made side by side, in the order of the index."""

    def make_all(
        self, groups: Mapping[int, Group], steps: Steps
    ) -> Iterator[tuple[int, ImagePart]]:
        for number, group in groups.items():
            yield number, self.make(group, steps)

    @abstractmethod
    def make(self, group: Group, steps: Steps) -> ImagePart:
        """The images of a group. May call ``steps.advance`` up to ``self.steps`` times."""

    def say_estimate(self, progress: Progress) -> None:
        """Tell what the images cost, where that can be known before the first."""

    def check(self, rows: list[Row], rejected: int, progress: Progress) -> None:
        """Look at the rows of all images; UserError if they are of no use."""

    def sheet_column(self, row: Row) -> int:
        """The column of an image in the contact sheet."""
        return row["mode"]

    def save_part(self, partial: PartialResults, number: int, part: ImagePart) -> None:
        folder = bind(image_folder.class_folder, classes=self.model.classes)
        image_folder.save_part(partial, number, part.images, folder, part.rejected)

    def has_part(self, partial: PartialResults, number: int) -> bool:
        return image_folder.load_part(partial, number) is not None

    def merge(self, partial: PartialResults, path: Path, progress: Progress) -> None:
        found = [image_folder.load_part(partial, i) for i in range(len(self.groups()))]
        parts = [part for part in found if part]
        rejected, rows = sum(part[0] for part in parts), [row for part in parts for row in part[1]]
        try:
            self.check(rows, rejected, progress)
        except UserError:
            partial.remove()
            raise
        image_folder.finish(partial, path, self.header(), rejected, rows)
        write_sheet(image_folder.sheet_of(path), path, rows, self.sheet_column)

    def is_finished(self, path: Path) -> bool:
        return image_folder.is_finished(path, self.header())

    def load_finished(self, path: Path, flag: str = "--out") -> GeneratedFolder:
        return image_folder.load_finished(path, flag)
