"""Learn prompts for a model by its name, and publish them."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vitquant.config.groups.prompts import PromptSettings
from vitquant.config.synthesize import LearnPromptsSettings
from vitquant.core import distributed
from vitquant.core.device import describe_device
from vitquant.core.errors import UserError
from vitquant.core.files import check_writable
from vitquant.core.progress import Progress, Silent
from vitquant.hub.repository import check_identifier
from vitquant.hub.shared_prompts import push_prompts, suggest_prompts
from vitquant.hub.upload import UploadResult
from vitquant.models.float_options import FloatOptions, InputSize
from vitquant.models.model import Model
from vitquant.models.sources import load_float
from vitquant.synthesis.diffusion.cost import say_learning_estimate
from vitquant.synthesis.diffusion.generator import load_generator
from vitquant.synthesis.diffusion.learn_job import PromptLearner
from vitquant.synthesis.diffusion.prompt_file import (
    SCHEME,
    PromptFile,
    PromptMetrics,
    Spent,
    read_prompts,
    summarize,
)
from vitquant.synthesis.job import run
from vitquant.synthesis.prompt_sheet import draw_prompts
from vitquant.synthesis.quality import Classifier
from vitquant.synthesis.target_classes import target_classes
from vitquant.workflows.calibration_images import Confirm, go_on, resumable
from vitquant.workflows.inputs import inputs_of
from vitquant.workflows.open import as_file_name


@dataclass(frozen=True)
class LearnedPrompts:
    """Learned prompts, in a file.

    Attributes:
        path: the file.
        model: the float model that they are for.
        generator: its name, and the SHA-256 of its weights.
        classes: how many classes have prompts.
        settings: of the learning.
        before, after, spent: metrics of the texts and of the learned prompts; what learning took.
        hub: where they were published, or None.
    """

    path: Path
    model: Model
    generator: dict[str, Any]
    classes: int
    settings: PromptSettings
    before: PromptMetrics
    after: PromptMetrics
    spent: Spent
    hub: UploadResult | None = None

    def to_json(self) -> dict[str, Any]:
        """What ``vitquant learn-prompts --json`` prints."""
        found = {
            "output": str(self.path),
            "model": self.model.identity.name,
            "generator": self.generator,
            "classes": self.classes,
            "prompts": self.classes * self.settings.prompts_per_class,
            "top1": self.after.top1,
            "confidence": self.after.confidence,
            "similarity": self.after.similarity,
            "template": vars(self.before),
            "spent": vars(self.spent),
            "seed": self.settings.seed,
            "bytes": self.path.stat().st_size,
            "settings": self.settings.to_json(),
        }
        return found if self.hub is None else found | {"hub": self.hub.to_json()}


def learn_prompts(
    model: str,
    out: str | Path | None = None,
    *,
    weights: str | Path | None = None,
    num_classes: int | None = None,
    input_size: InputSize | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
    **settings: Any,
) -> LearnedPrompts:
    """Learn prompts with which a generator makes images that a model recognizes, by class.

    Args:
        model: name of a float model.
        out: the file; by default MODEL-prompts.safetensors in the current folder.
        weights, num_classes, input_size, device, progress: as of :func:`quantize`.
        settings: the options of ``vitquant learn-prompts``, with ``_`` for ``-``.

    Raises:
        UserError: an argument cannot be used.
    """
    chosen = LearnPromptsSettings.build(**settings)
    given = FloatOptions.build(weights, num_classes, input_size)
    done = run_learning(model, chosen, _path(out), given, device, progress or Silent())
    assert done is not None
    return done


def run_learning(
    name: str,
    settings: LearnPromptsSettings,
    out: Path | None,
    given: FloatOptions,
    device: str,
    progress: Progress,
    confirm: Confirm = go_on,
    command: str | None = None,
) -> LearnedPrompts | None:
    """As :func:`learn_prompts`, with settings at hand; None in all processes but the main one.

    command: for the card.
    """
    if settings.push_to_hub is not None:
        check_identifier(settings.push_to_hub, settings.naming.option("push_to_hub"))
    path = out or Path(f"{as_file_name(name)}-prompts.safetensors")
    if distributed.is_main():
        inputs = inputs_of(settings, name, given.weights)
        check_writable(path, settings.naming.option("out"), inputs)
    opened = load_float(name, *given)
    chosen = target_classes(opened, _path(settings.classes))
    source = load_generator(
        settings.generator,
        name,
        settings.precision,
        device,
        progress,
        decoder=settings.decoder,
        steps=settings.generator_steps,
    )
    progress.say(
        f"{settings.prompts_per_class} prompts for each of {len(chosen)} classes of "
        f"{opened.identity.name}, {settings.steps} steps at most, generated by "
        f"{source.identity.name} on {describe_device(device)}"
    )
    kept = settings.part(PromptSettings)
    on_estimate = confirm("fewer --steps, --prompts-per-class or --classes")
    learner = PromptLearner(opened, source, chosen, kept)
    learned = None if settings.push_to_hub is None else _learned_before(learner, path)
    if learned is None:
        suggest_prompts(opened.identity, source.identity, progress, but=settings.push_to_hub)
        say_learning_estimate(learner, progress)
        with resumable():
            learned = run(learner, path, progress, on_estimate)
    else:
        progress.say(f"{path} is there already, learned with these settings")
    if not distributed.is_main():
        return None
    found, identity = summarize(learned, progress), source.identity.to_json()
    done = LearnedPrompts(path, opened, identity, len(chosen), kept, *found)
    if settings.push_to_hub is None:
        return done
    return replace(done, hub=_publish(learner, learned, settings, command, progress))


def _learned_before(learner: PromptLearner, path: Path) -> PromptFile | None:
    """The prompts at a path, if they are those that would be learned again for an upload."""
    try:
        found = read_prompts(path)
    except UserError:
        return None
    classes = [[prompts.index, prompts.name] for prompts in found.prompts.values()]
    there = found.header | {"classes": classes}
    wanted = json.loads(json.dumps(learner.header()))
    return found if all(there.get(key) == value for key, value in wanted.items()) else None


def _publish(
    learner: PromptLearner,
    learned: PromptFile,
    settings: LearnPromptsSettings,
    command: str | None,
    progress: Progress,
) -> UploadResult:
    """Raises UserError if the Hub does not take them."""
    assert settings.push_to_hub is not None
    done = push_prompts(
        learned,
        settings.push_to_hub,
        model=learner.model.identity,
        sheet=draw_prompts(
            learner.generator,
            Classifier(learner.model, learner.generator.device),
            learned,
            seed=settings.seed,
            batch_size=settings.batch_size,
        ),
        private=settings.private,
        command=command,
    )
    progress.say(f"uploaded to {done.url}; --prompts {SCHEME}{settings.push_to_hub}")
    return done


def _path(name: str | Path | None) -> Path | None:
    return None if name is None else Path(name)
