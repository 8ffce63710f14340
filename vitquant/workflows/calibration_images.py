"""The images that the setting ``calib`` names, synthesized first where that is what it says."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from vitquant.config.quantize import SYNTHESIZERS_OF_CALIB, QuantizeSettings
from vitquant.core import distributed
from vitquant.core.errors import Interrupted, UserError, first_line
from vitquant.core.progress import OnEstimate, Progress, ignore_estimate
from vitquant.data.image_source import ImageSource, ListSource
from vitquant.data.open import Role
from vitquant.data.reading import Reading
from vitquant.data.sources.noise import NoiseSource
from vitquant.data.texts import ACCEPTED_TEXTS, template_texts
from vitquant.hub.shared_prompts import suggest_prompts
from vitquant.models.model import Model
from vitquant.synthesis import job
from vitquant.synthesis.generated_source import GeneratedSource
from vitquant.synthesis.image_job import GenerationOptions
from vitquant.synthesis.registry import SYNTHESIZERS
from vitquant.workflows.open import images_for

Images = str | Path | Sequence[Image.Image] | Sequence[str] | ImageSource
"""What calibration images are given as in Python."""

# Texts that are made rather than read, and what has no effect beside any.
_TEMPLATES = ("synthetic", "template")
_OF_IMAGES = (
    "min_crop", "hflip", "color_jitter", "mixup", "cutmix", "patch_embed_bits", "generator",
    "prompts",
)  # fmt: skip

Confirm = Callable[[str], OnEstimate]
"""From how to make a run shorter, in words, to what is called with the seconds that it takes, and
may raise to stop it."""


def go_on(shorter: str) -> OnEstimate:
    """A :data:`Confirm` that lets every run go on."""
    return ignore_estimate


@contextmanager
def resumable() -> Iterator[None]:
    """Around work whose finished parts stay: tells that after Ctrl-C.

    Raises:
        Interrupted: the work was interrupted.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted("interrupted; the same command goes on where this stopped") from None


def calibration_images(
    settings: QuantizeSettings,
    model: Model,
    reading: Reading,
    device: str,
    progress: Progress,
    confirm: Confirm,
) -> ImageSource:
    """The calibration images of a run; for a model that reads texts, the texts.

    Raises:
        UserError: they cannot be used, or made.
        Interrupted: while they were made; what is finished stays in the cache.
    """
    calib, flag = settings.calib, settings.naming.option("calib")
    if model.reads_text:
        return _texts(settings, model)
    if calib == "noise":
        return NoiseSource(settings.samples, model.image_size, settings.seed)
    if calib not in SYNTHESIZERS_OF_CALIB:
        return images_for(
            model, calib, flag, Role.CALIBRATION, limit=settings.samples, reading=reading
        )
    if model.image_mode != "RGB" or "mean" not in model.preprocessing:
        raise UserError(
            f"{flag}: {calib} makes RGB images for a transform that timm describes, and "
            f"{model.identity.name} has another; a folder of images is accepted"
        )
    _check_classes(settings, model)
    kind = SYNTHESIZERS[SYNTHESIZERS_OF_CALIB[calib]]
    options = GenerationOptions(
        generator=settings.generator,
        prompts=settings.prompts,
        device=device,
        confirm_duration=confirm,
        before_learning=partial(suggest_prompts, progress=progress),
    )
    with resumable():
        chosen = kind.calibration_settings(settings.samples, settings.seed)
        synthesizer = kind.build(model, chosen, options, progress)
        progress.say(f"{synthesizer}, kept in {job.root()}")
        if not job.is_cached(synthesizer):
            synthesizer.say_estimate(progress)
        images = job.run_cached(synthesizer, progress, confirm(kind.shorter))
    if distributed.is_main():
        correct = sum(row["correct"] for row in images.rows) / len(images.rows)
        progress.say(f"{len(images.rows)} images, top-1 {correct:.1%}: {images.path}")
    return GeneratedSource(images.path, calib, settings.naming.option("calib"))


def _check_classes(settings: QuantizeSettings, model: Model) -> None:
    """Raise a UserError if images cannot be made of the model's classes."""
    if not model.num_classes:
        lacks, others = "has no classifier", "noise or a folder of images"
    elif model.classes is None and settings.calib != "inversion":
        lacks, others = (
            "does not say what its classes are called",
            "inversion or a folder of images",
        )
    else:
        return
    raise UserError(
        f"{settings.naming.option('calib')}: {settings.calib} makes images of the model's classes, "
        f"and {model.identity.name} {lacks}; {others} or a folder of images is accepted"
    )


def name_of(calib: Images | None) -> str | Path | None:
    """What the setting ``calib`` is where calibration images are given in Python."""
    if calib is None or isinstance(calib, str | Path):
        return calib
    return "images" if isinstance(calib, Sequence) else calib.name


def given_images(calib: Images | None, reading: Reading, mode: str = "RGB") -> ImageSource | None:
    """Images that are in memory already, in a mode of Pillow, or texts; None for a name.

    Raises:
        UserError: they are no images, or none, or cannot be made RGB.
    """
    if calib is None or isinstance(calib, str | Path):
        return None
    if not isinstance(calib, Sequence):
        return calib
    pictures: list[Any] = list(calib)
    if pictures and all(isinstance(text, str) for text in pictures):
        return ListSource("texts", pictures)
    if not pictures or not all(isinstance(picture, Image.Image) for picture in pictures):
        raise UserError("calib: at least one image, all of them PIL images, is accepted")
    found = []
    for i, picture in enumerate(pictures):
        try:
            # By way of RGB, which all others can be brought to; but that has no transparency.
            rgb = picture if mode == "RGBA" else reading.rgb(picture, f"image {i}")
            found.append(rgb.convert(mode))
        except Exception as error:  # what lazy decoders raise is not documented
            raise UserError(
                f"calib: image {i} cannot be read ({first_line(error)}); remove it"
            ) from error
    return ListSource("images", found)


def _texts(settings: QuantizeSettings, model: Model) -> ImageSource:
    """Of a file, or made of names of classes."""
    option, calib = settings.naming.option, settings.calib
    for name in _OF_IMAGES:
        if name in settings.given:
            raise UserError(f"{option(name)}: {model.identity.name} reads texts; leave it out")
    if calib in _TEMPLATES:
        return template_texts(calib, settings.samples, settings.seed)
    if calib == "noise" or calib in SYNTHESIZERS_OF_CALIB:
        raise UserError(
            f"{option('calib')} {calib}: {model.identity.name} reads texts; "
            f"{' or '.join(_TEMPLATES)}, or {ACCEPTED_TEXTS}, is accepted"
        )
    return images_for(model, calib, option("calib"), Role.CALIBRATION)
