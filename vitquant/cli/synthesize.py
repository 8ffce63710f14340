"""``vitquant synthesize``."""

from pathlib import Path
from typing import Annotated

import typer

from vitquant import parallel
from vitquant.cli import console, generation, given, inversion, options
from vitquant.data.image_source import ImageSource
from vitquant.data.source import Role
from vitquant.errors import UserError
from vitquant.model_images import images_for
from vitquant.models.load import load_float
from vitquant.models.model import Model
from vitquant.synthesis import cache
from vitquant.synthesis.diffusion.generator import Generator, load_generator
from vitquant.synthesis.diffusion.learn_job import Learning
from vitquant.synthesis.diffusion.prompt_file import prompt_file
from vitquant.synthesis.diffusion.prompt_sets import LearnedModes, Modes, TemplateModes
from vitquant.synthesis.diffusion.prompt_text import described, plain
from vitquant.synthesis.diffusion.sample_job import Images, Synthesis
from vitquant.synthesis.diffusion.sample_job import synthesize as run
from vitquant.synthesis.image_folder import DrawnSource
from vitquant.synthesis.inversion.job import Inversion, aims_of, make_images
from vitquant.synthesis.quality import measure
from vitquant.synthesis.settings import DrawSettings, InversionSettings, LearnSettings
from vitquant.synthesis.target_classes import Subject, subjects

_PLAIN, _LEARN, _INVERTED = DrawSettings(), LearnSettings(), InversionSettings()
_OF_A_GENERATOR = ("generator", "prompts_per_class", "min_confidence", "attempts")


def synthesize(
    context: typer.Context,
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
    by_inversion: Annotated[
        bool,
        typer.Option(
            "--inversion",
            help="No generator: optimise images through MODEL itself, from the whole image to "
            "small crops.",
        ),
    ] = False,
    as_plain: Annotated[
        bool,
        typer.Option(
            "--plain",
            help="With --template: 'a photo of a CLASS'. With --inversion: the whole image "
            "throughout.",
        ),
    ] = False,
    text: Annotated[
        str | None,
        typer.Option("--text", metavar="TEXT", help="A text of your own, {} for the class."),
    ] = None,
    generator: generation.GeneratorName = None,
    classes: generation.Classes = None,
    prompts_per_class: generation.PromptsPerClass = _LEARN.prompts_per_class,
    samples: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help=f"Images, spread evenly over the classes; by default {_PLAIN.samples}, or "
            f"{_INVERTED.samples} with --inversion.",
        ),
    ] = None,
    min_confidence: Annotated[
        float,
        typer.Option(
            metavar="X", help="Reject images to whose class the model gives a lower probability."
        ),
    ] = _PLAIN.min_confidence,
    attempts: Annotated[
        int, typer.Option(metavar="N", help="How often an image is drawn at most.")
    ] = _PLAIN.attempts,
    iterations: inversion.Iterations = _INVERTED.iterations,
    rounds: inversion.Rounds = _INVERTED.rounds,
    lr: inversion.Rate = _INVERTED.lr,
    smallest_crop: inversion.SmallestCrop = _INVERTED.smallest_crop,
    class_weight: inversion.ClassWeight = _INVERTED.class_weight,
    entropy_weight: inversion.EntropyWeight = _INVERTED.entropy_weight,
    variation_weight: inversion.VariationWeight = _INVERTED.variation_weight,
    variation: inversion.Variation = _INVERTED.variation,
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
    _check(prompts, template, by_inversion, as_plain, text)
    if by_inversion:
        given.refuse(
            context, _OF_A_GENERATOR, "it says how a generator draws, and --inversion has none"
        )
    else:
        given.refuse(context, inversion.NAMES, "it says how images are inverted; add --inversion")
    if prompts or text or (template and as_plain):
        given.refuse(
            context,
            ("prompts_per_class",),
            "there are as many prompts as --prompts or the text has",
        )
    drawn = DrawSettings(
        _PLAIN.samples if samples is None else samples, seed, batch_size, min_confidence, attempts
    )
    inverted = InversionSettings(
        samples=_INVERTED.samples if samples is None else samples,
        iterations=iterations,
        plain=as_plain,
        seed=seed,
        batch_size=batch_size,
        rounds=rounds,
        lr=lr,
        class_weight=class_weight,
        entropy_weight=entropy_weight,
        variation_weight=variation_weight,
        variation=variation,
        smallest_crop=smallest_crop,
        precision=precision,
    )
    name = options.name_or_stdin(model)
    path = out or Path(f"{name.replace('/', '-').replace(':', '-')}-images")
    if not path.parent.is_dir():
        raise UserError(f"--out: the folder {path.parent} does not exist; create it first")
    where = options.device(device)
    terminal = console.Terminal()
    opened = load_float(name, weights, num_classes)
    real = None
    if compare is not None:
        real = images_for(opened, compare, "--compare", Role.CALIBRATION)
    if by_inversion:
        aims = aims_of(opened, classes)
        work = Inversion(opened, aims, inverted, where)
        tell = generation.asking(yes, terminal, "fewer --samples or --iterations")
        terminal.say(str(work))
        with generation.resumable():
            images = make_images(work, path, terminal, tell)
        _finish(images, opened, len(aims), None, real, where, terminal, json)
        return
    chosen = subjects(opened, classes)
    source = load_generator(generator, name, precision, where, terminal)
    tell = generation.asking(yes, terminal, "fewer --samples, --prompts-per-class or --classes")
    if template or text:
        templates = [text] if text else (plain(1) if as_plain else described(prompts_per_class))
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
    synthesis = Synthesis(opened, source, chosen, modes, drawn)
    terminal.say(
        f"{synthesis.per_class} images for each of {len(chosen)} classes, drawn by "
        f"{source.identity.name} on {options.place(where)}"
    )
    with generation.resumable():
        images = run(synthesis, path, terminal, tell)
    _finish(images, opened, len(chosen), source, real, where, terminal, json)


def _check(
    prompts: str | None, template: bool, by_inversion: bool, as_plain: bool, text: str | None
) -> None:
    sources = {
        "--prompts": prompts,
        "--template": template,
        "--text": text,
        "--inversion": by_inversion,
    }
    given = [flag for flag, used in sources.items() if used]
    if len(given) > 1:
        raise UserError(f"{given[1]}: cannot be combined with {given[0]}; one of them is accepted")
    if as_plain and not (template or by_inversion):
        raise UserError(
            "--plain: it says which texts --template takes, or how --inversion looks at images; "
            "add one of them"
        )


def _from_file(name: str, generator: Generator, chosen: list[Subject]) -> LearnedModes:
    modes = LearnedModes(prompt_file(name))
    modes.check(generator, chosen)
    return modes


def _finish(
    images: Images,
    model: Model,
    classes: int,
    source: Generator | None,
    real: ImageSource | None,
    where: str,
    terminal: console.Terminal,
    json: bool,
) -> None:
    """Measure the images and print the result; source: the generator that drew them."""
    if not parallel.is_main():
        return
    result = _summarise(images, model, real, where, terminal)
    if json:
        facts = {"output": str(images.path), "model": model.identity.name, "classes": classes}
        generator = None if source is None else source.identity.to_json()
        console.result_json(facts | {"generator": generator} | result)
    else:
        console.result(str(images.path))


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
