"""``vitquant synthesize``."""

from pathlib import Path
from typing import Annotated

import typer

from vitquant import parallel
from vitquant.cli import console, generation, options
from vitquant.data.source import ImageSource, Role, open_source
from vitquant.errors import UserError
from vitquant.generate import cache
from vitquant.generate.drawn_source import DrawnSource
from vitquant.generate.fetch import prompt_file
from vitquant.generate.generator import Generator
from vitquant.generate.learn_prompts import Learning
from vitquant.generate.measure import measure
from vitquant.generate.modes import LearnedModes, Modes, TemplateModes
from vitquant.generate.names import Subject, subjects
from vitquant.generate.settings import LearnSettings
from vitquant.generate.synthesize import DrawSettings, Images, Synthesis
from vitquant.generate.synthesize import synthesize as run
from vitquant.generate.templates import described, plain
from vitquant.generate.usual_generator import load_generator
from vitquant.models.load import load_float
from vitquant.models.model import Model

_PLAIN, _LEARN = DrawSettings(), LearnSettings()


def synthesize(
    model: options.ModelName,
    prompts: Annotated[
        str | None,
        typer.Option(
            "--prompts",
            metavar="FILE",
            help="Learned prompts: a file, or hf://owner/name; by default they are learned if they "
            "are not in the cache.",
        ),
    ] = None,
    template: Annotated[
        bool,
        typer.Option(
            "--template", help="Texts instead: 'a bright photo of a small CLASS' and the like."
        ),
    ] = False,
    plain_text: Annotated[
        bool, typer.Option("--plain", help="With --template: 'a photo of a CLASS'.")
    ] = False,
    text: Annotated[
        str | None,
        typer.Option("--text", metavar="TEXT", help="A text of your own, {} for the class."),
    ] = None,
    generator: generation.GeneratorName = None,
    classes: generation.Classes = None,
    prompts_per_class: generation.PromptsPerClass = _LEARN.prompts_per_class,
    samples: Annotated[
        int, typer.Option(metavar="N", help="Images, spread evenly over the classes.")
    ] = _PLAIN.samples,
    min_confidence: Annotated[
        float,
        typer.Option(
            metavar="X", help="Reject images to whose class the model gives a lower probability."
        ),
    ] = _PLAIN.min_confidence,
    attempts: Annotated[
        int, typer.Option(metavar="N", help="How often an image is drawn at most.")
    ] = _PLAIN.attempts,
    compare: Annotated[
        str | None,
        typer.Option(
            "--compare", metavar="SOURCE", help="Real images, of which the coverage is measured."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder; by default MODEL-images here."),
    ] = None,
    weights: options.Weights = None,
    num_classes: options.NumClasses = None,
    batch_size: Annotated[
        int, typer.Option(metavar="N", help="Images drawn at once.")
    ] = _PLAIN.batch_size,
    seed: Annotated[int, typer.Option(metavar="N")] = _PLAIN.seed,
    precision: generation.Precision = "auto",
    yes: generation.Yes = False,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Draw images of a model's classes into a folder, with an index and a contact sheet.

    Prints the path of the folder. Run again after an interruption, it goes on.
    """
    settings = DrawSettings(samples, seed, batch_size, min_confidence, attempts)
    _check(prompts, template, plain_text, text)
    name = options.name_or_stdin(model)
    path = out or Path(f"{name.replace('/', '-').replace(':', '-')}-images")
    if not path.parent.is_dir():
        raise UserError(f"--out: the folder {path.parent} does not exist; create it first")
    where = options.device(device)
    terminal = console.Terminal()
    opened = load_float(name, weights, num_classes)
    real = None
    if compare is not None:
        real = open_source(
            compare,
            flag="--compare",
            classes=opened.classes,
            num_classes=opened.num_classes,
            role=Role.CALIBRATION,
        )
    chosen = subjects(opened, classes)
    source = load_generator(generator, name, precision, where, terminal)
    tell = generation.asking(yes, terminal, "fewer --samples, --prompts-per-class or --classes")
    if template or text:
        templates = [text] if text else (plain(1) if plain_text else described(prompts_per_class))
        modes: Modes = TemplateModes(tuple(templates))
        modes.told(source, chosen[0])
    elif prompts:
        modes = _from_file(prompts, source, chosen)
    else:
        learn = LearnSettings(prompts_per_class=prompts_per_class, batch_size=batch_size, seed=seed)
        terminal.say(
            f"{prompts_per_class} prompts for each of {len(chosen)} classes come first, from "
            f"{cache.root()} if they are there"
        )
        with generation.resumable():
            learned = cache.learned(Learning(opened, source, chosen, learn), terminal, tell)
        modes = LearnedModes(learned)
    synthesis = Synthesis(opened, source, chosen, modes, settings)
    terminal.say(
        f"{synthesis.per_class} images for each of {len(chosen)} classes, drawn by "
        f"{source.identity.name} on {options.place(where)}"
    )
    with generation.resumable():
        images = run(synthesis, path, terminal, tell)
    if not parallel.is_main():
        return
    result = _summarise(images, opened, real, where, terminal)
    if json:
        facts = {"output": str(path), "model": opened.identity.name, "classes": len(chosen)}
        console.result_json(facts | {"generator": source.identity.to_json()} | result)
    else:
        console.result(str(path))


def _check(prompts: str | None, template: bool, plain_text: bool, text: str | None) -> None:
    given = [
        flag
        for flag, used in (("--prompts", prompts), ("--template", template), ("--text", text))
        if used
    ]
    if len(given) > 1:
        raise UserError(f"{given[1]}: cannot be combined with {given[0]}; one of them is accepted")
    if plain_text and not template:
        raise UserError("--plain: it says which texts --template takes; add --template")


def _from_file(name: str, generator: Generator, chosen: list[Subject]) -> LearnedModes:
    modes = LearnedModes(prompt_file(name))
    modes.check(generator, chosen)
    return modes


def _summarise(
    images: Images,
    model: Model,
    real: ImageSource | None,
    where: str,
    terminal: console.Terminal,
) -> dict[str, object]:
    quality = measure(model, DrawnSource(images.path, str(images.path)), where, real)
    terminal.say(
        f"{len(images.rows)} images, {quality.top1:.1%} recognised, similarity within a class "
        f"{quality.similarity:.3f}"
        + ("" if quality.coverage is None else f", coverage {quality.coverage:.1%}")
        + (f"; {images.rejected} drawn and rejected" if images.rejected else "")
    )
    terminal.say(f"contact sheet: {images.sheet}")
    return {
        "images": len(images.rows),
        "rejected": images.rejected,
        "top1": quality.top1,
        "similarity": quality.similarity,
        "coverage": quality.coverage,
        "contact_sheet": str(images.sheet),
    }
