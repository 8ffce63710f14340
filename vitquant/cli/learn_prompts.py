"""``vitquant learn-prompts``."""

from pathlib import Path
from typing import Annotated

import typer

from vitquant import parallel
from vitquant.cli import console, generation, options
from vitquant.files import check_writable
from vitquant.models.load import load_float
from vitquant.synthesis.diffusion.generator import load_generator
from vitquant.synthesis.diffusion.learn_job import Learning
from vitquant.synthesis.diffusion.learn_job import learn_prompts as run
from vitquant.synthesis.diffusion.prompt_file import summarise
from vitquant.synthesis.settings import LearnSettings
from vitquant.synthesis.target_classes import subjects

_PLAIN = LearnSettings()


def learn_prompts(
    model: options.ModelName,
    generator: generation.GeneratorName = None,
    classes: generation.Classes = None,
    prompts_per_class: generation.PromptsPerClass = _PLAIN.prompts_per_class,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Where to write; by default MODEL-prompts.safetensors here.",
        ),
    ] = None,
    weights: options.Weights = None,
    num_classes: options.NumClasses = None,
    steps: Annotated[int, typer.Option(metavar="N", help="Steps for each class.")] = _PLAIN.steps,
    lr: Annotated[float, typer.Option(metavar="X", help="Learning rate.")] = _PLAIN.lr,
    class_weight: Annotated[
        float, typer.Option(metavar="X", help="Weight of being recognised in the loss.")
    ] = _PLAIN.class_weight,
    prompt_diversity: Annotated[
        float, typer.Option(metavar="X", help="Weight of unlike prompts in a class.")
    ] = _PLAIN.prompt_diversity,
    image_diversity: Annotated[
        float, typer.Option(metavar="X", help="Weight of unlike images in a class.")
    ] = _PLAIN.image_diversity,
    text_weight: Annotated[
        float, typer.Option(metavar="X", help="Weight of the pull towards readable text.")
    ] = _PLAIN.text_weight,
    batch_size: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Images drawn at once. Classes with few prompts share a batch.",
        ),
    ] = _PLAIN.batch_size,
    seed: Annotated[int, typer.Option(metavar="N")] = _PLAIN.seed,
    precision: generation.Precision = "auto",
    yes: generation.Yes = False,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Learn prompts with which a generator draws what a model recognises, for every class.

    Prints the path of the file of prompts. Run again after an interruption, it goes on.
    """
    settings = LearnSettings(
        prompts_per_class=prompts_per_class,
        steps=steps,
        lr=lr,
        class_weight=class_weight,
        prompt_diversity=prompt_diversity,
        image_diversity=image_diversity,
        text_weight=text_weight,
        batch_size=batch_size,
        seed=seed,
    )
    name = options.name_or_stdin(model)
    path = out or Path(f"{name.replace('/', '-').replace(':', '-')}-prompts.safetensors")
    if parallel.is_main():
        check_writable(path)
    where = options.device(device)
    terminal = console.Terminal()
    opened = load_float(name, weights, num_classes)
    chosen = subjects(opened, classes)
    source = load_generator(generator, name, precision, where, terminal)
    terminal.say(
        f"{prompts_per_class} prompts for each of {len(chosen)} classes of "
        f"{opened.identity.name}, {steps} steps, drawn by {source.identity.name} on "
        f"{options.place(where)}"
    )
    learning = Learning(opened, source, chosen, settings)
    tell = generation.asking(yes, terminal, "fewer --steps, --prompts-per-class or --classes")
    with generation.resumable():
        learned = run(learning, path, terminal, tell)
    if not parallel.is_main():
        return
    before, after = summarise(learned, terminal)
    if not json:
        console.result(str(path))
        return
    console.result_json(
        {
            "output": str(path),
            "model": opened.identity.name,
            "generator": source.identity.to_json(),
            "classes": len(chosen),
            "prompts": len(chosen) * prompts_per_class,
            "top1": after.top1,
            "confidence": after.confidence,
            "similarity": after.similarity,
            "template": vars(before),
            "seed": seed,
            "bytes": path.stat().st_size,
            "settings": settings.to_json(),
        }
    )
