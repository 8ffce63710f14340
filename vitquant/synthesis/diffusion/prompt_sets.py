"""What a class is drawn from: one or several modes, each a text or learned embeddings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from vitquant.errors import UserError
from vitquant.synthesis.diffusion.generator import Generator
from vitquant.synthesis.diffusion.learn import encode
from vitquant.synthesis.diffusion.prompt_file import PromptFile
from vitquant.synthesis.target_classes import Subject


class Modes(Protocol):
    """For every class its texts, and what the generator is told."""

    def texts(self, subject: Subject) -> list[str]: ...

    def told(self, generator: Generator, subject: Subject) -> Tensor:
        """(M, T, E), a row for each text."""
        ...

    def to_json(self) -> Mapping[str, object]:
        """Which modes these are."""
        ...


@dataclass(frozen=True)
class TemplateModes:
    """Texts as they stand, with the class's name in place of "{}"."""

    templates: tuple[str, ...]

    def texts(self, subject: Subject) -> list[str]:
        return [template.replace("{}", subject.phrase) for template in self.templates]

    @torch.no_grad()
    def told(self, generator: Generator, subject: Subject) -> Tensor:
        prompts = [generator.words.prompt(t, subject.phrase) for t in self.templates]
        ids = torch.stack([prompt.ids for prompt in prompts])
        return generator.encode(ids, generator.embeddings(ids))

    def to_json(self) -> Mapping[str, object]:
        return {"templates": self.templates}


@dataclass(frozen=True)
class LearnedModes:
    """What was learned, from a file."""

    file: PromptFile

    def check(self, generator: Generator, subjects: list[Subject]) -> None:
        """Raises UserError unless the prompts are this generator's, and there are all classes."""
        made_with = self.file.header.get("generator", {})
        if made_with.get("sha256") != generator.identity.sha256:
            raise UserError(
                f"--prompts: {self.file.path} was learned with the generator "
                f"{made_with.get('name')!r}, which {generator.identity.name!r} is not; "
                f"--generator {made_with.get('name')} is accepted"
            )
        missing = [s for s in subjects if s.index not in self.file.prompts]
        if missing:
            raise UserError(
                f"--prompts: {self.file.path} has no prompts for {missing[0].phrase!r} and "
                f"{len(missing) - 1} other classes; --classes with a file of those it has is "
                f"accepted"
            )

    def texts(self, subject: Subject) -> list[str]:
        return self.file.prompts[subject.index].texts

    @torch.no_grad()
    def told(self, generator: Generator, subject: Subject) -> Tensor:
        prompts = self.file.prompts[subject.index]
        device = generator.device
        return encode(
            generator,
            prompts.ids.long().to(device),
            prompts.positions.to(device),
            prompts.learned.float().to(device),
        )

    def to_json(self) -> Mapping[str, object]:
        kept = ("generator", "model", "settings", "dtype")
        return {"learned": {key: self.file.header.get(key) for key in kept}}
