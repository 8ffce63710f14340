"""The images that ``--calib`` names, drawn first where that is what it says."""

from dataclasses import dataclass

from vitquant import parallel
from vitquant.cli import generation
from vitquant.cli.console import Terminal
from vitquant.cli.learn_prompts import summarise
from vitquant.data.image_source import ImageSource
from vitquant.data.noise import NoiseSource
from vitquant.data.source import Role, open_source
from vitquant.errors import UserError
from vitquant.generate import cache
from vitquant.generate.drawn_source import DrawnSource
from vitquant.generate.fetch import prompt_file
from vitquant.generate.generator import Generator
from vitquant.generate.learn_prompts import Learning
from vitquant.generate.modes import LearnedModes, Modes, TemplateModes
from vitquant.generate.names import Subject, subjects
from vitquant.generate.settings import LearnSettings
from vitquant.generate.synthesize import DrawSettings, Synthesis
from vitquant.generate.templates import described
from vitquant.models.model import Model

DRAWN = ("synthetic", "template")
_MOST_PROMPTS = LearnSettings().prompts_per_class


@dataclass(frozen=True)
class Drawing:
    """How images are drawn for calibration: the options of ``quantize`` that say so.

    generator, prompts: as on the command line. yes: whether long work needs no question.
    """

    generator: str | None
    prompts: str | None
    yes: bool
    device: str


def calibration_images(
    calib: str, model: Model, samples: int, seed: int, drawing: Drawing, terminal: Terminal
) -> ImageSource:
    """The source that ``--calib`` names.

    Raises:
        UserError: it cannot be used, or options go with another source.
    """
    if calib not in DRAWN:
        for flag, value in (("--generator", drawing.generator), ("--prompts", drawing.prompts)):
            if value is not None:
                raise UserError(f"{flag}: --calib {calib} draws nothing; --calib synthetic does")
    if calib in DRAWN:
        return _drawn(calib, model, samples, seed, drawing, terminal)
    if calib == "noise":
        return NoiseSource(samples, model.input_size[1:], seed)
    return open_source(
        calib,
        flag="--calib",
        classes=model.classes,
        num_classes=model.num_classes,
        role=Role.CALIBRATION,
        limit=samples,
    )


def _drawn(
    calib: str, model: Model, samples: int, seed: int, drawing: Drawing, terminal: Terminal
) -> ImageSource:
    if calib == "template" and drawing.prompts is not None:
        raise UserError("--prompts: --calib template draws from texts; --calib synthetic does not")
    chosen = subjects(model)
    # Read before the generator is loaded, which takes longer than to find a name misspelt.
    file = None if drawing.prompts is None else prompt_file(drawing.prompts)
    name = model.identity.name
    source = generation.load_generator(drawing.generator, name, "auto", drawing.device, terminal)
    count = max(1, min(_MOST_PROMPTS, samples // len(chosen)))
    tell = generation.asking(drawing.yes, terminal, "fewer --samples, or learn-prompts --classes,")
    if calib == "template":
        modes: Modes = TemplateModes(tuple(described(count)))
    elif file is not None:
        modes = LearnedModes(file)
        modes.check(source, chosen)
    else:
        modes = _learned(model, source, chosen, count, seed, drawing, terminal)
    synthesis = Synthesis(model, source, chosen, modes, DrawSettings(samples=samples, seed=seed))
    terminal.say(
        f"{synthesis.per_class} images for each of {len(chosen)} classes, drawn by "
        f"{source.identity.name}, kept in {cache.root()}"
    )
    with generation.resumable():
        images = cache.drawn(synthesis, terminal, tell)
    recognised = sum(row["recognised"] for row in images.rows) / len(images.rows)
    if parallel.is_main():
        terminal.say(f"{len(images.rows)} images, {recognised:.1%} recognised: {images.path}")
    return DrawnSource(images.path, calib)


def _learned(
    model: Model,
    source: Generator,
    chosen: list[Subject],
    count: int,
    seed: int,
    drawing: Drawing,
    terminal: Terminal,
) -> LearnedModes:
    settings = LearnSettings(prompts_per_class=count, seed=seed)
    terminal.say(
        f"learning {count} prompts for each of {len(chosen)} classes, {settings.steps} steps, kept "
        f"in {cache.root()}"
    )
    tell = generation.asking(
        drawing.yes, terminal, "fewer --samples, or prompts learned elsewhere (--prompts),"
    )
    with generation.resumable():
        learned = cache.learned(Learning(model, source, chosen, settings), terminal, tell)
    if parallel.is_main():
        summarise(learned, terminal)
    return LearnedModes(learned)
