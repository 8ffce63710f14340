"""A file of prompts learned for the classes of a model."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import vitquant
from vitquant.config.groups.prompts import PromptSettings
from vitquant.core.errors import UserError
from vitquant.core.partial_results import PartialResults
from vitquant.core.progress import Progress
from vitquant.models.model import Model
from vitquant.synthesis.diffusion.generator import Generator
from vitquant.synthesis.diffusion.learn import learn_prompts
from vitquant.synthesis.diffusion.prompt_file import (
    ClassPrompts,
    PromptFile,
    read_prompts,
    write_prompts,
)
from vitquant.synthesis.job import Steps
from vitquant.synthesis.quality import Classifier
from vitquant.synthesis.target_classes import TargetClass


@dataclass(frozen=True)
class PromptLearner:
    """A :class:`vitquant.synthesis.job.Synthesizer` of prompts."""

    model: Model
    generator: Generator
    classes: list[TargetClass]
    settings: PromptSettings

    kind = "prompts"
    suffix = ".safetensors"
    task = "learning prompts"

    @property
    def steps(self) -> int:
        """Prompts, each of which is counted when it is finished."""
        return self.settings.prompts_per_class

    @property
    def image_cost(self) -> float:
        return self.model.image_cost + self.generator.image_cost

    def header(self) -> dict[str, Any]:
        """Everything that the prompts depend on."""
        named = [[target.index, target.name] for target in self.classes]
        return self._about() | {"classes": named}

    def _about(self) -> dict[str, Any]:
        """What the file says besides its classes."""
        return {
            "vitquant": vitquant.__version__,
            "generator": self.generator.identity.to_json(),
            "dtype": str(self.generator.dtype).removeprefix("torch."),
            "model": self.model.identity.to_json(),
            "settings": asdict(self.settings),
        }

    def groups(self) -> list[TargetClass]:
        return self.classes

    def make_all(
        self, groups: Mapping[int, TargetClass], steps: Steps
    ) -> Iterator[tuple[int, ClassPrompts]]:
        numbers = {target.index: number for number, target in groups.items()}
        learned = learn_prompts(
            self.generator,
            self._classifier,
            list(groups.values()),
            self.settings,
            steps.advance,
        )
        for found in learned:
            yield numbers[found.index], found

    @cached_property
    def _classifier(self) -> Classifier:
        return Classifier(self.model, self.generator.device)

    def save_part(self, partial: PartialResults, number: int, part: ClassPrompts) -> None:
        write_prompts(_file(partial, number), {}, [part])

    def has_part(self, partial: PartialResults, number: int) -> bool:
        path = _file(partial, number)
        if not path.exists():
            return False
        try:
            read_prompts(path)
        except UserError:  # cut short by whatever ended the run
            return False
        return True

    def merge(self, partial: PartialResults, path: Path, progress: Progress) -> None:
        files = [read_prompts(_file(partial, i)) for i in range(len(self.groups()))]
        prompts = [found for file in files for found in file.prompts.values()]
        write_prompts(path, self._about(), prompts)
        partial.remove()

    def is_finished(self, path: Path) -> bool:
        """Never: an older file is replaced."""
        return False

    def load_finished(self, path: Path, flag: str = "--out") -> PromptFile:
        return read_prompts(path, flag)


def _file(partial: PartialResults, number: int) -> Path:
    return partial.part(f"{number:05}.safetensors")
