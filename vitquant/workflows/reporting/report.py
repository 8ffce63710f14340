"""Look into a checkpoint: behind ``vitquant report`` and ``vitquant.report``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitquant.checkpoint.read import Checkpoint, read_checkpoint, restore
from vitquant.config.report import FLOAT, NONE, ReportSettings
from vitquant.core.device import describe_device
from vitquant.core.errors import UserError
from vitquant.core.files import Input, check_writable, write_whole
from vitquant.core.progress import Progress, Silent
from vitquant.exporters.runtimes.registry import is_exported
from vitquant.models.adapter import ModelAdapter
from vitquant.models.model import Model
from vitquant.models.module_adapter import SOURCE, Build, ImageTransform, Output
from vitquant.reports.measurements.subject import make_subject
from vitquant.reports.page.report import render
from vitquant.reports.report import Report
from vitquant.workflows.inputs import inputs_of
from vitquant.workflows.open import open_float_of, reading_for, resolve_checkpoint
from vitquant.workflows.python_model import adapter_of_checkpoint
from vitquant.workflows.reporting.measure import measured
from vitquant.workflows.reporting.sources import choose, open_calibration, open_data


@dataclass(frozen=True)
class Reported:
    """A report, and the page that was written. path: None without a page."""

    path: Path | None
    report: Report

    def to_json(self) -> dict[str, Any]:
        """What ``vitquant report --json`` prints."""
        return {"output": None if self.path is None else str(self.path)} | self.report.to_json()


def report(
    checkpoint: str | Path,
    out: str | Path | None = None,
    *,
    revision: str | None = None,
    weights: str | Path | None = None,
    build: Build | None = None,
    transform: ImageTransform | None = None,
    output: Output | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
    **settings: Any,
) -> Report:
    """Measure what a checkpoint is worth and where it loses, and write that as a page.

    Args:
        checkpoint: a file that vitquant wrote, or ``hf-hub:OWNER/NAME``.
        out: the page to write, whose name ends in ``.html``; by default none is written.
        revision: a branch, tag or commit on the Hub.
        weights: a safetensors file of the float model's weights, or a folder of shards.
        build, transform, output: of a file of any module, the functions of :func:`quantize`; the
            report is then made with ``reference="none"``.
        device: a torch device, such as ``"cuda"``.
        progress: a listener. By default nothing is printed.
        settings: ``data``, ``reference``, ``images`` and the other options of ``vitquant report``,
            with ``_`` for ``-``.

    Returns:
        All that the page shows (docs/reference/json.md).

    Raises:
        UserError: the checkpoint, a setting or the place to write to cannot be used.
    """
    chosen = ReportSettings.build(**settings)
    path = resolve_checkpoint(str(checkpoint), revision).path
    own = None
    if (build, transform, output) != (None, None, None):
        own = adapter_of_checkpoint(read_checkpoint(path), build, transform, output)
    given = None if weights is None else Path(weights)
    target = None if out is None else Path(out)
    listener = progress or Silent()
    return run_report(str(checkpoint), path, chosen, given, target, device, listener, own).report


def run_report(
    name: str,
    file: Path,
    settings: ReportSettings,
    weights: Path | None,
    out: Path | None,
    device: str,
    progress: Progress,
    adapter: ModelAdapter | None = None,
) -> Reported:
    """As :func:`report`, with settings at hand. name: of ``file``, as given."""
    check_no_onnx(name)
    _check_out(file, settings, weights, out)
    _check_weights(settings, weights)
    checkpoint = read_checkpoint(file)
    model = restore(checkpoint, adapter).with_class_names(settings.classes)
    reading = reading_for(settings, progress)
    data = open_data(model, settings, reading)
    calib = open_calibration(model, checkpoint.header.settings, settings, reading)
    reference = None if data is None else _reference(checkpoint, model, settings, weights)
    shown = None
    if data is not None:
        progress.say(
            f"{model.identity.name} {checkpoint.header.bits} beside its float model, "
            f"{min(settings.images, len(data[0]))} images of {data[0].name} on "
            f"{describe_device(device)}; takes a minute or so for a small model"
        )
        shown = choose(*data, settings.images, progress)
    subject = make_subject(checkpoint, model, reference)
    found = measured(subject, name, shown, calib, settings, device, progress)
    reading.report()
    if out is not None:
        write_whole(out, render(found).encode(), settings.naming.option("out"))
    return Reported(out, found)


def check_no_onnx(name: str) -> None:
    """Raise a UserError for an exported file, which has no blocks to look into."""
    if is_exported(name):
        raise UserError(
            f"FILE: {name} is an exported file; the checkpoint that it was exported from is "
            f"accepted"
        )


def _check_out(
    file: Path, settings: ReportSettings, weights: Path | None, out: Path | None
) -> None:
    if out is None:
        return
    flag = settings.naming.option("out")
    if out.suffix != ".html":
        raise UserError(f"{flag}: {out} does not end in .html, which is accepted")
    check_writable(out, flag, [Input("FILE", file), *inputs_of(settings, weights=weights)])


def _check_weights(settings: ReportSettings, weights: Path | None) -> None:
    if weights is None:
        return
    flag, option = settings.naming.option("weights"), settings.naming.option
    if settings.data is None:
        raise UserError(
            f"{flag}: without {option('data')} nothing is compared with the float model; add that, "
            f"or leave it out"
        )
    if settings.reference == NONE:
        raise UserError(
            f"{flag}: {settings.naming.choice('reference', NONE, False)} does not use it; leave "
            f"one of them out"
        )


def _reference(
    checkpoint: Checkpoint, model: Model, settings: ReportSettings, weights: Path | None
) -> Model | None:
    """The float model. Raises UserError, with what does without it, if it cannot be had."""
    if settings.reference != FLOAT:
        return None
    without = settings.naming.choice("reference", NONE, False)
    if checkpoint.header.model.get("source") == SOURCE:
        raise UserError(
            f"{settings.naming.option('reference')}: the float {model.identity.name} is a module "
            f"in Python, which no file holds; {without} makes the report without it"
        )
    try:
        return open_float_of(model, weights)
    except UserError as error:
        raise UserError(f"{error}; {without} makes the report without it") from error
