"""``vitquant synthesize`` and ``vitquant learn-prompts``."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from vitquant.cli import arguments, console
from vitquant.cli.options import options
from vitquant.config.synthesize import LearnPromptsSettings, SynthesizeSettings
from vitquant.models.float_options import FloatOptions


@options(SynthesizeSettings)
def synthesize(
    model: arguments.ModelName,
    settings: SynthesizeSettings,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder; by default MODEL-images here."),
    ] = None,
    device: arguments.Device = "auto",
    weights: arguments.Weights = None,
    num_classes: arguments.NumClasses = None,
    input_size: arguments.InputSize = None,
    yes: arguments.Yes = False,
    json: arguments.Json = False,
) -> None:
    """Make images of a model's classes, in a folder with an index and a contact sheet.

    Prints the path of the folder. Run again after an interruption, it goes on.
    """
    given = FloatOptions.build(weights, num_classes, input_size)
    from vitquant.core.device import resolve_device
    from vitquant.workflows.synthesize import run_synthesis

    terminal = console.Terminal()
    done = run_synthesis(
        arguments.name_or_stdin(model),
        settings,
        out,
        given,
        resolve_device(device),
        terminal,
        arguments.confirmation(yes, terminal),
    )
    if done is None:
        return
    images, quality = done.images, done.quality
    coverage = "" if quality.coverage is None else f", coverage {quality.coverage:.1%}"
    rejected = f"; {images.rejected} more were rejected" if images.rejected else ""
    terminal.say(
        f"{len(images.rows)} images, {quality.top1:.1%} recognized, similarity within a class "
        f"{quality.similarity:.3f}{coverage}{rejected}"
    )
    terminal.say(f"contact sheet: {images.sheet}")
    if json:
        console.result_json(done.to_json())
    else:
        console.result(str(images.path))


@options(LearnPromptsSettings)
def learn_prompts(
    model: arguments.ModelName,
    settings: LearnPromptsSettings,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Where to write; by default MODEL-prompts.safetensors here.",
        ),
    ] = None,
    device: arguments.Device = "auto",
    weights: arguments.Weights = None,
    num_classes: arguments.NumClasses = None,
    input_size: arguments.InputSize = None,
    yes: arguments.Yes = False,
    json: arguments.Json = False,
) -> None:
    """Learn prompts with which a generator makes what a model recognizes, for every class.

    Prints the path of the file of prompts. Run again after an interruption, it goes on.
    """
    given = FloatOptions.build(weights, num_classes, input_size)
    from vitquant.core.device import resolve_device
    from vitquant.workflows.learn_prompts import run_learning

    terminal = console.Terminal()
    done = run_learning(
        arguments.name_or_stdin(model),
        settings,
        out,
        given,
        resolve_device(device),
        terminal,
        arguments.confirmation(yes, terminal),
        shlex.join(["vitquant", *sys.argv[1:]]),
    )
    if done is None:
        return
    if json:
        console.result_json(done.to_json())
    else:
        console.result(str(done.path))
