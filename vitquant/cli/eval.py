"""``vitquant eval``."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from vitquant.cli import console, options
from vitquant.core import distributed, threads
from vitquant.core.errors import CheckFailedError, UserError
from vitquant.data.open import Role
from vitquant.evaluation.accuracy import Evaluation, evaluate
from vitquant.exporters.runtimes.registry import RUNTIME_NAMES, is_onnx
from vitquant.models.model import Model, ModelIdentity
from vitquant.models.sources.from_miniature import NAMES as MINIATURES
from vitquant.models.sources.from_timm import HUB, load_float
from vitquant.workflows.open import images_for, is_checkpoint, open_model


def eval_(
    model: options.ModelName,
    data: Annotated[
        str,
        typer.Option(
            "--data",
            metavar="SOURCE",
            help="Labelled images: folders named by WordNet id or class name, a .tar of such, "
            "digits, or a data set such as hfds/… that timm reads.",
        ),
    ],
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            metavar="MODEL",
            help="Evaluate "
            "this model beside it; float means the float model that a checkpoint was made from.",
        ),
    ] = None,
    weights: options.Weights = None,
    num_classes: options.NumClasses = None,
    min_top1: Annotated[
        float | None,
        typer.Option(metavar="X", help="Exit with code 1 where top-1 is below this fraction."),
    ] = None,
    ignore_unknown: Annotated[
        bool,
        typer.Option(
            "--ignore-unknown", help="Leave out folders that no class of the model matches."
        ),
    ] = False,
    batch_size: Annotated[int, typer.Option(metavar="N")] = 64,
    runtime: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"What runs an ONNX file: {' or '.join(RUNTIME_NAMES)}; by default the first.",
        ),
    ] = None,
    device: options.Device = "auto",
    json: options.Json = False,
) -> None:
    """Measure top-1 and top-5 accuracy of a float or quantized model.

    --weights belongs to the float model: to MODEL, or to --reference where MODEL is a checkpoint.
    """
    if min_top1 is not None and not 0 <= min_top1 <= 1:
        raise UserError(f"--min-top1: {min_top1} is not a fraction from 0 to 1, such as 0.7")
    if batch_size < 1:
        raise UserError(f"--batch-size: {batch_size} is too few; 1 or more")
    name = options.name_or_stdin(model)
    where = options.device("cpu" if is_onnx(name) else device)
    terminal = console.Terminal()
    opened, beside = _open(name, reference, weights, num_classes, runtime)
    _check_pair(opened, beside)
    images = images_for(opened, data, "--data", Role.EVALUATION, ignore_unknown=ignore_unknown)
    if images.skipped:
        terminal.warn(
            f"{sum(images.skipped.values())} images left out, of "
            f"{len(images.skipped)} folders that no class matches"
        )
    terminal.say(f"{len(images)} images of {images.name} on {options.place(where)}")
    if beside is not None:
        beside.to(where)
    batch_size = min(batch_size, opened.max_batch or batch_size)
    with threads.suited_to(opened.image_cost):
        found = evaluate(opened.to(where), images, batch_size, beside, terminal, where)
    terminal.table(_table(name, found, beside))
    top1, top5 = found.accuracy.top1, found.accuracy.top5
    if json:
        console.result_json(_result(name, opened, images.name, found, beside))
    else:
        console.result(f"top1 {top1:.4f} top5 {top5:.4f}")
    if min_top1 is not None and top1 < min_top1:
        distributed.barrier()  # a process that fails takes the one that prints with it
        raise CheckFailedError(f"--min-top1: top-1 is {top1:.4f}, below {min_top1}")


def _open(
    name: str,
    reference: str | None,
    weights: Path | None,
    num_classes: int | None,
    runtime: str | None,
) -> tuple[Model, Model | None]:
    quantized = is_checkpoint(name)
    own, others = ((None, None), (weights, num_classes))
    if not quantized:
        own, others = others, own
    elif weights is not None and reference is None:
        raise UserError(
            f"--weights: {name} is a checkpoint and holds its own; with --reference "
            f"the file is accepted, for the reference"
        )
    opened = open_model(name, *own, runtime)
    if reference is None:
        return opened, None
    if reference == "float":
        beside = float_model(opened.identity, weights)
    else:
        beside = open_model(reference, *others)
    return opened, beside


def float_model(identity: ModelIdentity, weights: Path | None) -> Model:
    """The very model that a checkpoint was made from."""
    from_hub = identity.name.startswith(HUB)
    if weights is None and not identity.tag and not from_hub:
        raise UserError(
            f"--reference: {identity.name} was quantized from a file; give it with --weights"
        )
    pinned = identity.tag and not from_hub and identity.name not in MINIATURES
    name = f"{identity.architecture}.{identity.tag}" if pinned else identity.name
    model = load_float(name, weights, identity.arguments.get("num_classes"))
    if identity.weights_sha256 != model.identity.weights_sha256:
        flag = "--reference" if weights is None else f"--weights: {weights}:"
        raise UserError(
            f"{flag} these are not the weights that the checkpoint was made from; name a model "
            f"after --reference to compare with another"
        )
    return model


def _check_pair(model: Model, reference: Model | None) -> None:
    if model.num_classes == 0:
        raise UserError(
            f"MODEL: {model.identity.name} has no classifier; a model with classes is accepted"
        )
    if reference is not None and reference.num_classes != model.num_classes:
        raise UserError(
            f"--reference: {reference.identity.name} has {reference.num_classes} classes, the "
            f"model {model.num_classes}; a model of the same classes is accepted"
        )


def _table(name: str, found: Evaluation, beside: Model | None) -> Table:
    table = Table("model", "top-1 %", "top-5 %", "drop", "agreement %", "images/s")
    reference = found.reference
    if beside is not None and reference is not None:
        label = f"{beside.identity.name} (reference)"
        table.add_row(label, f"{reference.top1:.2%}"[:-1], f"{reference.top5:.2%}"[:-1], "", "", "")
    drop = "" if reference is None else f"{100 * (reference.top1 - found.accuracy.top1):.2f}"
    agreement = "" if found.agreement is None else f"{100 * found.agreement:.2f}"
    table.add_row(
        name,
        f"{100 * found.accuracy.top1:.2f}",
        f"{100 * found.accuracy.top5:.2f}",
        drop,
        agreement,
        f"{found.images_per_second:.1f}",
    )
    return table


def _result(
    name: str, opened: Model, source: str, found: Evaluation, beside: Model | None
) -> dict[str, Any]:
    result: dict[str, Any] = {
        "model": name,
        "float_model": opened.identity.to_json(),
        "data": source,
        "images": found.images,
        "top1": found.accuracy.top1,
        "top5": found.accuracy.top5,
        "images_per_second": round(found.images_per_second, 2),
    }
    if beside is not None and found.reference is not None:
        result["reference"] = {
            "model": beside.identity.name,
            "weights_sha256": beside.identity.weights_sha256,
            "top1": found.reference.top1,
            "top5": found.reference.top5,
        }
        result["agreement"] = found.agreement
        result["drop"] = found.reference.top1 - found.accuracy.top1
    return result
