"""``vitquant synthesize``."""

from pathlib import Path
from typing import Annotated

import typer

from vitquant.cli import console, generation, given, inversion, options
from vitquant.core import distributed
from vitquant.core.errors import UserError
from vitquant.data.image_source import ImageSource
from vitquant.data.open import Role
from vitquant.models.model import Model
from vitquant.models.sources.from_timm import load_float
from vitquant.synthesis.diffusion.prompt_text import PLAIN
from vitquant.synthesis.image_folder import GeneratedFolder, GeneratedSource
from vitquant.synthesis.image_job import GenerationOptions
from vitquant.synthesis.job import run
from vitquant.synthesis.quality import measure
from vitquant.synthesis.registry import SYNTHESIZERS
from vitquant.synthesis.settings import DiffusionSettings, InversionSettings, PromptSettings
from vitquant.workflows.open import images_for

_PLAIN, _LEARN, _INVERTED = DiffusionSettings(), PromptSettings(), InversionSettings()
_SHORTER = "fewer --samples, --prompts-per-class or --classes"
_OF_A_GENERATOR = ("generator", "prompts_per_class", "min_confidence", "max_attempts")


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
            help="No generator: optimize images through MODEL itself, from the whole image to "
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
    max_attempts: Annotated[
        int, typer.Option(metavar="N", help="How often an image is generated at most.")
    ] = _PLAIN.max_attempts,
    iterations: inversion.Iterations = _INVERTED.iterations,
    lr_cycles: inversion.LrCycles = _INVERTED.lr_cycles,
    lr: inversion.Rate = _INVERTED.lr,
    min_crop: inversion.MinCrop = _INVERTED.min_crop,
    ce_weight: inversion.CeWeight = _INVERTED.ce_weight,
    entropy_weight: inversion.EntropyWeight = _INVERTED.entropy_weight,
    tv_weight: inversion.TvWeight = _INVERTED.tv_weight,
    tv_target: inversion.TvTarget = _INVERTED.tv_target,
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
        int, typer.Option(metavar="N", help="Images generated at once.")
    ] = _PLAIN.batch_size,
    seed: Annotated[int, typer.Option(metavar="N")] = _PLAIN.seed,
    precision: generation.Precision = "auto",
    yes: generation.Yes = False,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Generate images of a model's classes into a folder, with an index and a contact sheet.

    Prints the path of the folder. Run again after an interruption, it goes on.
    """
    _check(prompts, template, by_inversion, as_plain, text)
    if by_inversion:
        given.refuse(
            context, _OF_A_GENERATOR, "it says how a generator is used, and --inversion has none"
        )
    else:
        given.refuse(context, inversion.NAMES, "it says how images are inverted; add --inversion")
    if prompts or text or (template and as_plain):
        given.refuse(
            context,
            ("prompts_per_class",),
            "there are as many prompts as --prompts or the text has",
        )
    name = options.name_or_stdin(model)
    path = out or Path(f"{name.replace('/', '-').replace(':', '-')}-images")
    kind = SYNTHESIZERS[
        "inversion" if by_inversion else "template" if template or text else "prompts"
    ]
    count = kind.settings().samples if samples is None else samples
    settings: DiffusionSettings | InversionSettings
    if by_inversion:
        settings = InversionSettings(
            samples=count,
            iterations=iterations,
            crops=not as_plain,
            seed=seed,
            batch_size=batch_size,
            lr_cycles=lr_cycles,
            lr=lr,
            ce_weight=ce_weight,
            entropy_weight=entropy_weight,
            tv_weight=tv_weight,
            tv_target=tv_target,
            min_crop=min_crop,
            precision=precision,
        )
    else:
        settings = DiffusionSettings(count, seed, batch_size, min_confidence, max_attempts)
    learning = PromptSettings(prompts_per_class=prompts_per_class, batch_size=batch_size, seed=seed)
    if not path.parent.is_dir():
        raise UserError(f"--out: the folder {path.parent} does not exist; create it first")
    where = options.device(device)
    terminal = console.Terminal()
    opened = load_float(name, weights, num_classes)
    real = None
    if compare is not None:
        real = images_for(opened, compare, "--compare", Role.CALIBRATION)
    shorter = "fewer --samples or --iterations" if by_inversion else _SHORTER
    on_estimate = generation.confirm_duration(yes, terminal, shorter)
    generating = GenerationOptions(
        classes=classes,
        generator=generator,
        prompts=prompts,
        prompt_settings=learning,
        templates=(text,) if text else (PLAIN,) if as_plain else None,
        precision=precision,
        device=where,
        confirm_duration=lambda shorter: on_estimate,
    )
    with generation.resumable():
        synthesizer = kind.build(opened, settings, generating, terminal)
        terminal.say(f"{synthesizer} on {options.place(where)}")
        images = run(synthesizer, path, terminal, on_estimate)
    if not distributed.is_main():
        return
    result = _summarize(images, opened, real, where, terminal)
    if json:
        console.result_json(
            {
                "output": str(images.path),
                "model": opened.identity.name,
                "classes": len(synthesizer.classes),
                "generator": synthesizer.header().get("generator"),
            }
            | result
        )
    else:
        console.result(str(images.path))


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


def _summarize(
    images: GeneratedFolder,
    model: Model,
    real: ImageSource | None,
    where: str,
    terminal: console.Terminal,
) -> dict[str, object]:
    quality = measure(model, GeneratedSource(images.path, str(images.path)), where, real)
    terminal.say(
        f"{len(images.rows)} images, top-1 {quality.top1:.1%}, similarity within a class "
        f"{quality.similarity:.3f}"
        + ("" if quality.coverage is None else f", coverage {quality.coverage:.1%}")
        + (f"; {images.rejected} generated and rejected" if images.rejected else "")
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
