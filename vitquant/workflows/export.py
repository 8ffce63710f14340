"""Write a checkpoint in another format: behind ``vitquant export`` and ``vitquant.export``."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vitquant.checkpoint.read import Checkpoint, read_checkpoint, restore
from vitquant.config.export import ExportSettings
from vitquant.config.targets import TARGETS
from vitquant.config.targets.base import Target
from vitquant.config.values import MINIATURES
from vitquant.core.errors import UserError
from vitquant.core.files import Input, check_name, check_no_input, check_writable
from vitquant.core.progress import Progress, Silent
from vitquant.data.open import Role
from vitquant.exporters.compressed_tensors import check_folder
from vitquant.exporters.formats import EXECUTORCH, SAFETENSORS, WEB, get_format
from vitquant.exporters.onnx.options import OnnxOptions, choose_weight_type
from vitquant.exporters.verification import Verification
from vitquant.hub.publish import push
from vitquant.hub.report_page import read_page
from vitquant.hub.repository import check_identifier
from vitquant.models.adapter import ModelAdapter
from vitquant.models.model import Model
from vitquant.models.module_adapter import Build, ImageTransform, Output
from vitquant.workflows.inputs import inputs_of
from vitquant.workflows.open import (
    CheckpointFile,
    HubCheckpoint,
    images_for,
    open_float_of,
    reading_for,
    resolve_checkpoint,
)
from vitquant.workflows.ptq import Quantized
from vitquant.workflows.python_model import adapter_of_checkpoint, check_can_be_exported


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: the file, or the folder.
        format: ``"onnx"``, ``"safetensors"``, ``"executorch"`` or ``"web"``.
        bytes: its size.
        verification: of a file, how it compares with the model; None of a folder.
        about: what ``vitquant export --json`` prints of a file.
    """

    path: Path
    format: str
    bytes: int
    verification: Verification | None = None
    about: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """What ``vitquant export --json`` prints."""
        head = {"output": str(self.path), "format": self.format, "bytes": self.bytes}
        return head | self.about

    def check(self) -> None:
        """Raises CheckFailedError if a file does not pass its verification."""
        if self.verification is not None:
            self.verification.check()


def export(
    checkpoint: str | Path | Quantized,
    out: str | Path,
    *,
    revision: str | None = None,
    build: Build | None = None,
    transform: ImageTransform | None = None,
    output: Output | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Exported:
    """Write a quantized model as an ONNX file and verify it, or in another layout.

    ``format="onnx"`` writes a file (docs/reference/onnx.md). ``format="safetensors"`` writes a
    folder for the library compressed-tensors (docs/reference/compressed-tensors.md).
    ``format="executorch"`` writes a ``.pte`` for phones (docs/how-to/phones.md), ``format="web"``
    a folder with a page (docs/how-to/browsers.md).

    Args:
        checkpoint: a file that vitquant wrote, ``hf-hub:OWNER/NAME``, or what :func:`quantize`
            returned.
        out: the file to write, or the folder, which must not exist yet or be empty.
        revision: a branch, tag or commit on the Hub.
        build, transform, output: of a file of any module, the functions of :func:`quantize`.
        progress: a listener. By default nothing is printed.
        settings: ``format``, ``target``, ``data`` and the other options of ``vitquant export``,
            with ``_`` for ``-``.

    Returns:
        What was written; ``verification`` has what was found.

    Raises:
        UserError: the checkpoint, a setting or the place to write to cannot be used.
        CheckFailedError: the ONNX file was written, and does not pass its verification.
    """
    chosen = ExportSettings.build(**settings)
    check_name(str(out), chosen.naming.option("out"))
    with _file(checkpoint, revision) as path:
        own = checkpoint.model.adapter if isinstance(checkpoint, Quantized) else None
        adapter = own or adapter_of_checkpoint(read_checkpoint(path), build, transform, output)
        exported = run_export(path, chosen, Path(out), progress or Silent(), adapter=adapter)
    exported.check()
    return exported


def run_export(
    file: Path,
    settings: ExportSettings,
    out: Path,
    progress: Progress,
    command: str | None = None,
    adapter: ModelAdapter | None = None,
) -> Exported:
    """As :func:`export`, with settings at hand and without the check.

    What is published has passed its check. command: for the model card. adapter: of the network.
    """
    label = settings.naming.option("out")
    inputs = [Input("FILE", file), *inputs_of(settings)]
    if settings.push_to_hub is not None:
        check_identifier(settings.push_to_hub)
    if get_format(settings.format).is_folder:
        check_no_input(out, label, inputs)
        check_folder(out, label)
    else:
        check_writable(out, label, inputs)
    checkpoint = read_checkpoint(file)
    check_can_be_exported(checkpoint.header, settings)
    page = None
    if settings.report is not None:
        flag, content = settings.naming.option("report"), checkpoint.header.content_sha256
        page = read_page(Path(settings.report), content, flag)
    if settings.format == SAFETENSORS.name:
        return Exported(out, settings.format, SAFETENSORS.write(checkpoint, out, label))
    exported = _to_file(checkpoint, restore(checkpoint, adapter), settings, out, progress)
    if settings.push_to_hub is None:
        return exported
    exported.check()
    done = push(
        file,
        settings.push_to_hub,
        private=settings.private,
        onnx=out,
        exported=exported.to_json(),
        command=command,
        report=page,
    )
    progress.say(f"uploaded to {done.url}")
    exported.about["hub"] = done.to_json()
    return exported


def default_out(named: CheckpointFile | HubCheckpoint, settings: ExportSettings) -> Path:
    """Where ``vitquant export`` writes what a checkpoint becomes: beside it."""
    # What comes from the Hub lies in a cache, which is no place for a result.
    beside = Path(named.name.split("/")[-1]) if isinstance(named, HubCheckpoint) else named.path
    return get_format(settings.format).default_path(beside)


def _to_file(
    checkpoint: Checkpoint, model: Model, settings: ExportSettings, out: Path, progress: Progress
) -> Exported:
    if settings.min_agreement is not None and model.num_classes < 2:
        raise UserError(
            f"{settings.naming.option('min_agreement')}: {model.identity.name} has fewer than two "
            f"classes, and the difference of its outputs is what is checked; leave it out"
        )
    kind, target = get_format(settings.format), None
    options: OnnxOptions | bool = settings.float_attention
    if kind is not EXECUTORCH:
        target = _target(checkpoint, settings)
        options = _onnx_options(settings, target)
    images, reading = None, reading_for(settings, progress)
    if settings.data is not None:
        flag, role, count = settings.naming.option("data"), Role.CALIBRATION, settings.images
        images = images_for(model, settings.data, flag, role, limit=count, reading=reading)
    write = kind.write
    if kind is WEB:
        write = partial(write, ort_web=settings.ort_web, flag=settings.naming.option("ort_web"))
    found = write(
        model,
        checkpoint.header,
        out,
        options,
        size=checkpoint.bytes,
        images=images,
        count=settings.images,
        float_model=_float(model, settings.weights),
        min_agreement=settings.min_agreement,
        progress=progress,
    )
    reading.report()
    header = checkpoint.header
    about = found.to_json() | {"model": header.model["name"], "bits": header.bits}
    if target is not None:
        about["target"] = target.name
    size = sum(f.stat().st_size for f in out.rglob("*") if f.is_file()) if kind.is_folder else 0
    return Exported(out, settings.format, size or found.exported[0].bytes, found, about)


def _onnx_options(settings: ExportSettings, target: Target) -> OnnxOptions:
    return OnnxOptions(
        choose_weight_type(settings.weight_type, target, settings.naming.option("weight_type")),
        settings.opset,
        settings.float_attention,
        settings.with_preprocessing,
        target,
        settings.rest,
    )


def _target(checkpoint: Checkpoint, settings: ExportSettings) -> Target:
    """The one that is asked for, or else the checkpoint's."""
    name = settings.target or checkpoint.header.target
    if name not in TARGETS:
        raise UserError(
            f"FILE: {checkpoint.path} was quantized for {name}, which this vitquant does not know; "
            f"{settings.naming.option('target')} {', '.join(TARGETS)} is accepted"
        )
    return TARGETS[name]


def _float(model: Model, weights: str | None) -> Model | None:
    """The float model, if it is at hand: nothing is downloaded for a comparison."""
    bundled = model.identity.name in MINIATURES and model.identity.tag
    if weights is None and not bundled:
        return None
    return open_float_of(model, None if weights is None else Path(weights))


@contextmanager
def _file(checkpoint: str | Path | Quantized, revision: str | None) -> Iterator[Path]:
    if not isinstance(checkpoint, Quantized):
        yield resolve_checkpoint(str(checkpoint), revision).path
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        checkpoint.save(path)
        yield path
