"""Learn the prompts of all classes, shared out between the processes, and write them to a file."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vitquant
from vitquant import parallel
from vitquant.core.duration import Stopwatch
from vitquant.core.partial_results import Parts
from vitquant.errors import UserError
from vitquant.models.model import Model
from vitquant.progress import Progress
from vitquant.synthesis.diffusion.generator import Generator
from vitquant.synthesis.diffusion.learn import learn
from vitquant.synthesis.diffusion.prompt_file import (
    ClassPrompts,
    PromptFile,
    read_prompts,
    write_prompts,
)
from vitquant.synthesis.quality import Classifier
from vitquant.synthesis.settings import LearnSettings
from vitquant.synthesis.target_classes import Subject


@dataclass(frozen=True)
class Learning:
    """What prompts are learned with, and for which classes."""

    model: Model
    generator: Generator
    subjects: list[Subject]
    settings: LearnSettings

    def header(self) -> dict[str, Any]:
        """What the result depends on, for the file and to tell runs apart."""
        return {
            "vitquant": vitquant.__version__,
            "generator": self.generator.identity.to_json(),
            "dtype": str(self.generator.dtype).removeprefix("torch."),
            "model": self.model.identity.to_json(),
            "settings": self.settings.to_json(),
        }

    def groups(self) -> list[list[Subject]]:
        """Classes that are learned side by side: as many as fill a batch."""
        size = max(1, self.settings.batch_size // self.settings.prompts_per_class)
        return [self.subjects[i : i + size] for i in range(0, len(self.subjects), size)]


def learn_prompts(
    learning: Learning,
    path: Path,
    progress: Progress,
    tell: Callable[[float], None] = lambda seconds: None,
) -> PromptFile:
    """Learn what is not learned yet, and write it all to ``path``.

    A run that was interrupted goes on with the classes that are missing, and ends with the same
    file. ``tell`` hears after a minute or so how many seconds the run takes, and may raise.

    Raises:
        UserError: nothing can be written, or a class name is too long for the generator.
    """
    header = learning.header()
    parts = Parts.beside(path)
    named = [[s.index, s.phrase] for s in learning.subjects]
    parts.begin(header | {"subjects": named}, progress)
    missing = [g for g in learning.groups() if not all(_stored(parts, s) for s in g)]
    done = len(learning.subjects) - sum(map(len, missing))
    if done:
        progress.say(f"{done} of {len(learning.subjects)} classes are learned already")
    _learn(learning, parts.deal(missing), parts, progress, tell)
    parallel.wait()
    if parallel.is_main():
        write_prompts(path, header, _collected(parts, learning.subjects))
    parallel.wait()
    result = read_prompts(path, "--out")
    parts.remove()
    return result


def _learn(
    learning: Learning,
    groups: Sequence[list[Subject]],
    parts: Parts,
    progress: Progress,
    tell: Callable[[float], None],
) -> None:
    classifier = Classifier(learning.model, learning.generator.device)
    total = len(groups) * learning.settings.steps
    ticks: Iterator[int] = progress.track(range(total), total, "learning prompts")
    watch = Stopwatch(total, tell)

    def tick() -> None:
        next(ticks, None)
        watch.tick()

    for group in groups:
        learned = learn(learning.generator, classifier, group, learning.settings, tick)
        for prompts in learned:
            write_prompts(_piece(parts, prompts.index), {}, [prompts])
        score = sum(p.after.top1 for p in learned) / len(learned)
        progress.status(f"{group[-1].phrase}: {score:.0%} recognised")
    next(ticks, None)  # closes the bar


def _piece(parts: Parts, index: int) -> Path:
    return parts.piece(f"{index:05}.safetensors")


def _stored(parts: Parts, subject: Subject) -> bool:
    path = _piece(parts, subject.index)
    if not path.exists():
        return False
    try:
        read_prompts(path)
    except UserError:  # cut short by whatever ended the run
        return False
    return True


def _collected(parts: Parts, subjects: list[Subject]) -> Iterator[ClassPrompts]:
    for subject in subjects:
        yield from read_prompts(_piece(parts, subject.index)).prompts.values()
