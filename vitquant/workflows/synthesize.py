"""Make images, or learn prompts for them, for a model by its name."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitquant.config.groups.prompts import PromptSettings
from vitquant.config.synthesize import LearnPromptsSettings, SynthesizeSettings
from vitquant.core import distributed
from vitquant.core.device import describe_device
from vitquant.core.files import check_writable
from vitquant.core.progress import Progress, Silent
from vitquant.data.open import Role
from vitquant.data.reading import Reading
from vitquant.models.float_options import FloatOptions, InputSize
from vitquant.models.model import Model
from vitquant.models.sources import load_float
from vitquant.synthesis.diffusion.generator import load_generator
from vitquant.synthesis.diffusion.learn_job import PromptLearner
from vitquant.synthesis.diffusion.prompt_file import PromptMetrics, Spent, summarize
from vitquant.synthesis.generated_source import GeneratedSource
from vitquant.synthesis.image_folder import GeneratedFolder, check_place
from vitquant.synthesis.image_job import GenerationOptions
from vitquant.synthesis.job import run
from vitquant.synthesis.quality import ImageSetMetrics, measure
from vitquant.synthesis.registry import SYNTHESIZERS
from vitquant.synthesis.target_classes import target_classes
from vitquant.workflows.calibration_images import Confirm, go_on, resumable
from vitquant.workflows.inputs import inputs_of
from vitquant.workflows.open import as_file_name, images_for


@dataclass(frozen=True)
class Synthesized:
    """Generated images, in a folder.

    Attributes:
        images: the folder.
        model, classes: the float model that they are for, and how many of its classes they show.
        generator: its name, and the SHA-256 of its weights; None with inversion.
        quality: how the float model classifies them.
    """

    images: GeneratedFolder
    model: Model
    classes: int
    generator: dict[str, Any] | None
    quality: ImageSetMetrics

    def to_json(self) -> dict[str, Any]:
        """What ``vitquant synthesize --json`` prints."""
        return {
            "output": str(self.images.path),
            "model": self.model.identity.name,
            "classes": self.classes,
            "generator": self.generator,
            "images": len(self.images.rows),
            "rejected": self.images.rejected,
            "top1": self.quality.top1,
            "similarity": self.quality.similarity,
            "coverage": self.quality.coverage,
            "contact_sheet": str(self.images.sheet),
        }


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
    """

    path: Path
    model: Model
    generator: dict[str, Any]
    classes: int
    settings: PromptSettings
    before: PromptMetrics
    after: PromptMetrics
    spent: Spent

    def to_json(self) -> dict[str, Any]:
        """What ``vitquant learn-prompts --json`` prints."""
        return {
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


def synthesize(
    model: str,
    out: str | Path | None = None,
    *,
    weights: str | Path | None = None,
    num_classes: int | None = None,
    input_size: InputSize | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
    **settings: Any,
) -> Synthesized:
    """Generate images of a model's classes, in a folder with an index and a contact sheet.

    Args:
        model: name of a float model.
        out: the folder; by default MODEL-images in the current folder.
        weights, num_classes, input_size, device, progress: as of :func:`quantize`.
        settings: the options of ``vitquant synthesize``, with ``_`` for ``-``. ``synthesizer`` is
            ``"prompts"``, ``"template"`` or ``"inversion"``.

    Raises:
        UserError: an argument cannot be used.
    """
    chosen = SynthesizeSettings.build(**settings)
    given = FloatOptions.build(weights, num_classes, input_size)
    done = run_synthesis(model, chosen, _path(out), given, device, progress or Silent())
    assert done is not None
    return done


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
    given, listener = FloatOptions.build(weights, num_classes, input_size), progress or Silent()
    done = run_learning(model, chosen, _path(out), given, device, listener)
    assert done is not None
    return done


def run_synthesis(
    name: str,
    settings: SynthesizeSettings,
    out: Path | None,
    given: FloatOptions,
    device: str,
    progress: Progress,
    confirm: Confirm = go_on,
) -> Synthesized | None:
    """As :func:`synthesize`, with settings at hand; None in all processes but the main one."""
    path = out or Path(f"{as_file_name(name)}-images")
    if distributed.is_main():
        check_place(path, settings.naming.option("out"), inputs_of(settings, name, given.weights))
    opened = load_float(name, *given)
    reading, real = Reading(warn=progress.warn), None
    if settings.real_images is not None:
        flag = settings.naming.option("real_images")
        real = images_for(opened, settings.real_images, flag, Role.CALIBRATION, reading=reading)
    inverts = settings.synthesizer == "inversion"
    fewer = " or --iterations" if inverts else ", --prompts-per-class or --classes"
    on_estimate = confirm(f"fewer --samples{fewer}")
    kind = SYNTHESIZERS[settings.synthesizer]
    with resumable():
        options = GenerationOptions.of(settings, device, lambda shorter: on_estimate)
        synthesizer = kind.build(opened, settings.part(kind.settings), options, progress)
        progress.say(f"{synthesizer} on {describe_device(device)}")
        images = run(synthesizer, path, progress, on_estimate)
    if not distributed.is_main():
        return None
    quality = measure(opened, GeneratedSource(images.path, str(images.path)), device, real)
    reading.report()
    generator = synthesizer.header().get("generator")
    return Synthesized(images, opened, len(synthesizer.classes), generator, quality)


def run_learning(
    name: str,
    settings: LearnPromptsSettings,
    out: Path | None,
    given: FloatOptions,
    device: str,
    progress: Progress,
    confirm: Confirm = go_on,
) -> LearnedPrompts | None:
    """As :func:`learn_prompts`, with settings at hand; None in all processes but the main one."""
    path = out or Path(f"{as_file_name(name)}-prompts.safetensors")
    if distributed.is_main():
        inputs = inputs_of(settings, name, given.weights)
        check_writable(path, settings.naming.option("out"), inputs)
    opened, kept = load_float(name, *given), settings.part(PromptSettings)
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
    on_estimate = confirm("fewer --steps, --prompts-per-class or --classes")
    with resumable():
        learned = run(PromptLearner(opened, source, chosen, kept), path, progress, on_estimate)
    if not distributed.is_main():
        return None
    found, identity = summarize(learned, progress), source.identity.to_json()
    return LearnedPrompts(path, opened, identity, len(chosen), kept, *found)


def _path(name: str | Path | None) -> Path | None:
    return None if name is None else Path(name)
