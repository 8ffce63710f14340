"""Make images for a model by its name."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from vitquant.config.synthesize import SynthesizeSettings
from vitquant.core import distributed
from vitquant.core.device import describe_device
from vitquant.core.progress import Progress, Silent
from vitquant.data.open import Role
from vitquant.data.reading import Reading
from vitquant.hub.shared_prompts import suggest_prompts
from vitquant.models.float_options import FloatOptions, InputSize
from vitquant.models.model import Model
from vitquant.models.sources import load_float
from vitquant.synthesis.generated_source import GeneratedSource
from vitquant.synthesis.image_folder import GeneratedFolder, check_place
from vitquant.synthesis.image_job import GenerationOptions
from vitquant.synthesis.job import run
from vitquant.synthesis.quality import ImageSetMetrics, measure
from vitquant.synthesis.registry import SYNTHESIZERS
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
        options = replace(
            GenerationOptions.of(settings, device, lambda shorter: on_estimate),
            before_learning=partial(suggest_prompts, progress=progress),
        )
        synthesizer = kind.build(opened, settings.part(kind.settings), options, progress)
        progress.say(f"{synthesizer} on {describe_device(device)}")
        if not path.exists():
            synthesizer.say_estimate(progress)
        images = run(synthesizer, path, progress, on_estimate)
    if not distributed.is_main():
        return None
    quality = measure(opened, GeneratedSource(images.path, str(images.path)), device, real)
    reading.report()
    generator = synthesizer.header().get("generator")
    return Synthesized(images, opened, len(synthesizer.classes), generator, quality)


def _path(name: str | Path | None) -> Path | None:
    return None if name is None else Path(name)
