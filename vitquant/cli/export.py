"""``vitquant export``."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from vitquant.checkpoint.read import Checkpoint, read_checkpoint, restore
from vitquant.cli import console, given, options
from vitquant.cli.eval import float_model
from vitquant.core.errors import UserError
from vitquant.core.files import check_writable
from vitquant.data.image_source import ImageSource
from vitquant.data.open import Role
from vitquant.exporters.compressed_tensors import check_folder, write
from vitquant.exporters.onnx.export import OnnxOptions
from vitquant.exporters.onnx.graph import INT2, WEIGHT_TYPES, get_weight_type
from vitquant.exporters.onnx.write import IMAGES, export_onnx
from vitquant.exporters.targets import SAFETENSORS, TARGETS, get_target
from vitquant.exporters.verify import MARGIN, Run, Verification
from vitquant.hub.publish import push
from vitquant.hub.repository import check_identifier
from vitquant.models.model import Model
from vitquant.models.sources.from_miniature import NAMES as MINIATURES
from vitquant.models.sources.from_timm import HUB
from vitquant.workflows.open import checkpoint_path, images_for


def export(
    context: typer.Context,
    file: options.CheckpointName,
    format: Annotated[
        str,
        typer.Option(
            "--format",
            help="onnx, or safetensors: a folder that the library compressed-tensors reads.",
        ),
    ] = "onnx",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE.onnx",
            help="Where to write; by default beside FILE, as .onnx, or as a folder named "
            "-compressed.",
        ),
    ] = None,
    push_to_hub: Annotated[
        str | None,
        typer.Option(
            "--push-to-hub",
            metavar="OWNER/NAME",
            help="Upload checkpoint, ONNX file and a model card to this repository of the Hub.",
        ),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="With --push-to-hub: a private repository.")
    ] = False,
    weight_type: Annotated[
        str,
        typer.Option(
            "--weight-type",
            metavar="TYPE",
            help=f"Smallest type that weights are stored in: {', '.join(WEIGHT_TYPES)}. OpenVINO "
            f"needs int4.",
        ),
    ] = INT2.name,
    opset: Annotated[
        int | None,
        typer.Option(metavar="N", help="By default the lowest that has the types of the weights."),
    ] = None,
    float_attention: Annotated[
        bool,
        typer.Option("--float-attention", help="Leave the two products of attention float."),
    ] = False,
    with_preprocessing: Annotated[
        bool,
        typer.Option(
            "--with-preprocessing",
            help="Let the graph take raw uint8 images and resize, crop and normalise them.",
        ),
    ] = False,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="SOURCE",
            help="Images to verify the file with, labelled or not; by default smooth noise.",
        ),
    ] = None,
    images: Annotated[
        int, typer.Option(metavar="N", help="How many images to verify with.")
    ] = IMAGES,
    min_agreement: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Exit with code 1 where the file's top-1 prediction is the quantized model's for "
            f"less than this fraction of the images. By default {MARGIN} less than that model's "
            "self-agreement under accumulation noise.",
        ),
    ] = None,
    weights: options.Weights = None,
    json: options.Json = False,
) -> None:
    """Write a quantized model as an ONNX file that runs on integer kernels, and verify the file.

    Prints the path of the file. --weights is the float model, to be compared as well.
    """
    target = get_target(format)
    _check(images, min_agreement)
    for other in TARGETS.values():
        if other is not target:
            given.refuse(context, other.options, f"it goes with --format {other.name} alone")
    _check_push(push_to_hub, private, format)
    source = options.name_or_stdin(file)
    name = checkpoint_path(source)
    # What comes from the Hub lies in a cache, which is no place for a result.
    beside = Path(source.split("/")[-1]) if source.startswith(HUB) else name
    path = out or target.default_path(beside)
    if target is SAFETENSORS:
        _rewrite(name, path, json)
        return
    chosen = OnnxOptions(get_weight_type(weight_type), opset, float_attention, with_preprocessing)
    checkpoint = read_checkpoint(name)
    check_writable(path)
    model = restore(checkpoint)
    terminal = console.Terminal()
    found = export_onnx(
        model,
        checkpoint.header,
        path,
        chosen,
        size=checkpoint.bytes,
        images=_images(data, model, images),
        count=images,
        float_model=_float(model, weights),
        min_agreement=min_agreement,
        progress=terminal,
    )
    terminal.table(_table(found))
    for line in _lines(found):
        terminal.say(line)
    result = _result(path, found, checkpoint)
    if push_to_hub is not None:
        found.check()  # what fails its own test is not for others
        result["hub"] = _push(name, push_to_hub, private, path, result, terminal)
    if json:
        console.result_json(result)
    else:
        console.result(str(path))
    found.check()


def _check_push(push_to_hub: str | None, private: bool, format: str) -> None:
    if push_to_hub is None:
        if private:
            raise UserError("--private: it says how --push-to-hub uploads; add --push-to-hub")
        return
    if format != "onnx":
        raise UserError(
            "--push-to-hub: what is uploaded has an ONNX file; --format onnx is accepted"
        )
    check_identifier(push_to_hub)


def _push(
    checkpoint: Path,
    repository: str,
    private: bool,
    onnx: Path,
    result: dict[str, Any],
    terminal: console.Terminal,
) -> dict[str, Any]:
    command = shlex.join(["vitquant", *sys.argv[1:]])
    done = push(
        checkpoint, repository, private=private, onnx=onnx, exported=result, command=command
    )
    terminal.say(f"uploaded to {done.url}")
    return done.to_json()


def _rewrite(file: Path, folder: Path, json: bool) -> None:
    """The checkpoint as a folder in another convention."""
    checkpoint = read_checkpoint(file)
    check_folder(folder, "--out")
    size = write(checkpoint, folder)
    if json:
        console.result_json({"output": str(folder), "format": "safetensors", "bytes": size})
    else:
        console.result(str(folder))


def _check(images: int, min_agreement: float | None) -> None:
    if images < 1:
        raise UserError(f"--images: {images} is too few; 1 or more")
    if min_agreement is not None and not 0 <= min_agreement <= 1:
        raise UserError(
            f"--min-agreement: {min_agreement} is not a fraction from 0 to 1, such as 0.9"
        )


def _images(data: str | None, model: Model, count: int) -> ImageSource | None:
    if data is None:
        return None
    return images_for(model, data, "--data", Role.CALIBRATION, limit=count)


def _float(model: Model, weights: Path | None) -> Model | None:
    """The float model, if it is at hand: nothing is downloaded for a comparison."""
    if weights is None and model.identity.name not in MINIATURES:
        return None
    return float_model(model.identity, weights)


def _table(found: Verification) -> Table:
    table = Table("model", "MB", "ms", "agreement %", "difference")
    rows = [*found.compared, *found.exported]
    rows.insert(2, Run("quantized", "accumulation noise", 0, 0.0, found.self_agreement))
    for run in rows:
        agreement = difference = ""
        if run.outputs is not None:
            difference = f"{run.outputs.difference:.4f}"
            if run.outputs.agreement is not None:
                agreement = f"{100 * run.outputs.agreement:.1f}"
        size = f"{run.bytes / 1e6:.2f}" if run.bytes else ""
        time = f"{run.milliseconds:.1f}" if run.milliseconds else ""
        table.add_row(run.name, size, time, agreement, difference)
    return table


def _lines(found: Verification) -> list[str]:
    running = len(found.expected) - len(found.in_float)
    return [
        f"{running} of {len(found.expected)} products on integer kernels in ONNX Runtime",
        *found.notes,
        f"agreement and difference: with the quantized model in PyTorch, on {found.images} images "
        f"of {found.source}; at least {found.min_agreement:.1%} has to agree",
    ]


def _result(path: Path, found: Verification, checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "output": str(path),
        "format": "onnx",
        "model": checkpoint.header.model["name"],
        "bits": checkpoint.header.bits,
        "bytes": found.exported[0].bytes,
        "integer_kernels": len(found.expected) - len(found.in_float),
        "expected_integer_kernels": len(found.expected),
        "agreement": found.agreement,
        "min_agreement": found.min_agreement,
        "images": found.images,
        "data": found.source,
        "self_agreement": found.self_agreement.agreement,
        "runs": [
            {
                "name": run.name,
                "bytes": run.bytes,
                "milliseconds": round(run.milliseconds, 3),
                "agreement": run.outputs and run.outputs.agreement,
                "difference": run.outputs and run.outputs.difference,
            }
            for run in (*found.compared, *found.exported)
        ],
        "notes": found.notes,
    }
