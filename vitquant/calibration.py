"""The images that ``--calib`` names, drawn first where that is what it says."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vitquant import parallel
from vitquant.data.image_source import ImageSource
from vitquant.data.noise import NoiseSource
from vitquant.data.source import Role
from vitquant.errors import UserError
from vitquant.model_images import images_for
from vitquant.models.model import Model
from vitquant.progress import Progress
from vitquant.synthesis import cache
from vitquant.synthesis.diffusion.generator import Generator, load_generator
from vitquant.synthesis.diffusion.learn_job import Learning
from vitquant.synthesis.diffusion.prompt_file import prompt_file, summarise
from vitquant.synthesis.diffusion.prompt_sets import LearnedModes, Modes, TemplateModes
from vitquant.synthesis.diffusion.prompt_text import described
from vitquant.synthesis.diffusion.sample_job import Synthesis
from vitquant.synthesis.image_folder import DrawnSource, is_inverted
from vitquant.synthesis.inversion.job import Inversion, aims_of
from vitquant.synthesis.settings import DrawSettings, InversionSettings, LearnSettings
from vitquant.synthesis.target_classes import Subject, subjects

_DRAWN = ("synthetic", "template")
MADE = (*_DRAWN, "inversion")
"""What takes long to make, and is kept."""
_MOST_PROMPTS = LearnSettings().prompts_per_class


def _goes_on(shorter: str) -> Callable[[float], None]:
    return lambda seconds: None


@dataclass(frozen=True)
class Drawing:
    """How images are drawn for calibration.

    generator, prompts: as on the command line. asking: from how to make a run shorter, in words, to
    what hears how many seconds it takes, and may raise to stop it.
    """

    generator: str | None = None
    prompts: str | None = None
    device: str = "cpu"
    asking: Callable[[str], Callable[[float], None]] = _goes_on


def bears_bias_correction(calib: object) -> bool:
    """Whether dfq corrects biases by them: not where their means are unlike photographs'."""
    if isinstance(calib, (str, Path)):
        return str(calib) not in ("inversion", "noise") and not is_inverted(Path(calib))
    return True


def calibration_images(
    calib: str, model: Model, samples: int, seed: int, drawing: Drawing, progress: Progress
) -> ImageSource:
    """The source that ``--calib`` names.

    Raises:
        UserError: it cannot be used, or options go with another source.
    """
    if calib not in _DRAWN:
        for flag, value in (("--generator", drawing.generator), ("--prompts", drawing.prompts)):
            if value is not None:
                raise UserError(f"{flag}: --calib {calib} draws nothing; --calib synthetic does")
    if calib in _DRAWN:
        return _drawn(calib, model, samples, seed, drawing, progress)
    if calib == "inversion":
        return _inverted(model, samples, seed, drawing, progress)
    if calib == "noise":
        return NoiseSource(samples, model.input_size[1:], seed)
    return images_for(model, calib, "--calib", Role.CALIBRATION, limit=samples)


def _inverted(
    model: Model, samples: int, seed: int, drawing: Drawing, progress: Progress
) -> ImageSource:
    # An image takes long to make: more than the usual number must be asked for by name.
    settings = InversionSettings(samples=min(samples, InversionSettings().samples), seed=seed)
    inversion = Inversion(model, aims_of(model), settings, drawing.device)
    progress.say(f"{inversion}, kept in {cache.root()}")
    tell = drawing.asking("fewer --samples, or synthesize --inversion with fewer --iterations,")
    images = cache.inverted(inversion, progress, tell)
    return DrawnSource(images.path, "inversion")


def _drawn(
    calib: str, model: Model, samples: int, seed: int, drawing: Drawing, progress: Progress
) -> ImageSource:
    if calib == "template" and drawing.prompts is not None:
        raise UserError("--prompts: --calib template draws from texts; --calib synthetic does not")
    chosen = subjects(model)
    # Read before the generator is loaded, which takes longer than to find a name misspelt.
    file = None if drawing.prompts is None else prompt_file(drawing.prompts)
    name = model.identity.name
    source = load_generator(drawing.generator, name, "auto", drawing.device, progress)
    count = max(1, min(_MOST_PROMPTS, samples // len(chosen)))
    tell = drawing.asking("fewer --samples, or learn-prompts --classes,")
    if calib == "template":
        modes: Modes = TemplateModes(tuple(described(count)))
    elif file is not None:
        modes = LearnedModes(file)
        modes.check(source, chosen)
    else:
        modes = _learned(model, source, chosen, count, seed, drawing, progress)
    synthesis = Synthesis(model, source, chosen, modes, DrawSettings(samples=samples, seed=seed))
    progress.say(
        f"{synthesis.per_class} images for each of {len(chosen)} classes, drawn by "
        f"{source.identity.name}, kept in {cache.root()}"
    )
    images = cache.drawn(synthesis, progress, tell)
    recognised = sum(row["recognised"] for row in images.rows) / len(images.rows)
    if parallel.is_main():
        progress.say(f"{len(images.rows)} images, {recognised:.1%} recognised: {images.path}")
    return DrawnSource(images.path, calib)


def _learned(
    model: Model,
    source: Generator,
    chosen: list[Subject],
    count: int,
    seed: int,
    drawing: Drawing,
    progress: Progress,
) -> LearnedModes:
    settings = LearnSettings(prompts_per_class=count, seed=seed)
    progress.say(
        f"learning {count} prompts for each of {len(chosen)} classes, {settings.steps} steps, kept "
        f"in {cache.root()}"
    )
    tell = drawing.asking("fewer --samples, or prompts learned elsewhere (--prompts),")
    learned = cache.learned(Learning(model, source, chosen, settings), progress, tell)
    if parallel.is_main():
        summarise(learned, progress)
    return LearnedModes(learned)
