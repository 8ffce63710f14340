"""``vitquant report``."""

from pathlib import Path
from typing import Annotated

import typer

from vitquant.cli import arguments, console
from vitquant.cli.options import options
from vitquant.config.report import ReportSettings


@options(ReportSettings)
def report(
    file: arguments.CheckpointName,
    settings: ReportSettings,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE.html",
            help="The page to write; by default beside FILE, as .html.",
        ),
    ] = None,
    weights: arguments.Weights = None,
    device: arguments.Device = "auto",
    json: arguments.Json = False,
) -> None:
    """Write a page on what a checkpoint is worth, and where it loses: one HTML file, no network.

    With --data it compares with the float model, which is loaded as in eval --reference float.
    Prints the path of the page.
    """
    from vitquant.core.device import resolve_device
    from vitquant.workflows.open import HubCheckpoint, resolve_checkpoint
    from vitquant.workflows.reporting.report import check_no_onnx, run_report
    from vitquant.workflows.reporting.sources import page_for

    name = arguments.name_or_stdin(file)
    check_no_onnx(name)
    named = resolve_checkpoint(name)
    local = None if isinstance(named, HubCheckpoint) else named.path
    page = page_for(name, out, local)
    where, terminal = resolve_device(device), console.Terminal()
    done = run_report(name, named.path, settings, weights, page, where, terminal)
    if json:
        console.result_json(done.to_json())
    else:
        console.result(str(done.path))
