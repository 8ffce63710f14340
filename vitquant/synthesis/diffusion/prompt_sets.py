"""What the images of a class are generated from: a prompt for each of its modes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch

from vitquant.core.errors import UserError
from vitquant.synthesis.diffusion.adapters.base import PromptEmbeds
from vitquant.synthesis.diffusion.generator import Generator
from vitquant.synthesis.diffusion.learn import encode
from vitquant.synthesis.diffusion.prompt_file import PromptFile
from vitquant.synthesis.target_classes import TargetClass


class PromptSet(Protocol):
    """The prompts of every class, as texts and as embeddings."""

    def texts(self, target: TargetClass) -> list[str]:
        """One for each mode of the class."""
        ...

    def prompt_embeds(self, generator: Generator, target: TargetClass) -> PromptEmbeds:
        """A row for each text."""
        ...

    def to_json(self) -> Mapping[str, object]:
        """Which prompts these are."""
        ...


@dataclass(frozen=True)
class TemplatePrompts:
    """Texts as they stand, with the class's name in place of "{}"."""

    templates: tuple[str, ...]

    def texts(self, target: TargetClass) -> list[str]:
        return [template.replace("{}", target.name) for template in self.templates]

    @torch.no_grad()
    def prompt_embeds(self, generator: Generator, target: TargetClass) -> PromptEmbeds:
        prompts = [generator.prompt_tokenizer.prompt(t, target.name) for t in self.templates]
        ids = torch.stack([prompt.ids for prompt in prompts])
        return generator.encode(ids, generator.embeddings(ids))

    def to_json(self) -> Mapping[str, object]:
        return {"templates": self.templates}


@dataclass(frozen=True)
class LearnedPrompts:
    """Learned embeddings, from a file."""

    file: PromptFile

    def check(self, generator: Generator, classes: list[TargetClass]) -> None:
        """Raises UserError unless the prompts are this generator's, and there are all classes."""
        made_with = self.file.header.get("generator", {})
        if made_with.get("sha256") != generator.identity.sha256:
            raise UserError(
                f"--prompts: {self.file.path} was learned with the generator "
                f"{made_with.get('name')!r}, which {generator.identity.name!r} is not; "
                f"--generator {made_with.get('name')} is accepted"
            )
        missing = [target for target in classes if target.index not in self.file.prompts]
        if missing:
            raise UserError(
                f"--prompts: {self.file.path} has no prompts for {missing[0].name!r} and "
                f"{len(missing) - 1} other classes; prompts of all classes are accepted"
            )

    def texts(self, target: TargetClass) -> list[str]:
        return self.file.prompts[target.index].texts

    @torch.no_grad()
    def prompt_embeds(self, generator: Generator, target: TargetClass) -> PromptEmbeds:
        prompts = self.file.prompts[target.index]
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
