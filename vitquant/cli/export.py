"""``vitquant export``."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitquant.cli import arguments, console
from vitquant.cli.options import options
from vitquant.config.export import ExportSettings

if TYPE_CHECKING:
    from rich.table import Table

    from vitquant.exporters.verification import Verification


@options(ExportSettings)
def export(
    file: arguments.CheckpointName,
    settings: ExportSettings,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE.onnx",
            help="Where to write; by default beside FILE, as .onnx or .pte, or as a folder "
            "named -compressed or -web.",
        ),
    ] = None,
    json: arguments.Json = False,
) -> None:
    """Write a quantized model as an ONNX file that runs on integer kernels, and verify the file.

    Prints the path of the file. --weights is the float model, to be compared as well.
    """
    from vitquant.workflows.export import default_out, run_export
    from vitquant.workflows.open import resolve_checkpoint

    named = resolve_checkpoint(arguments.name_or_stdin(file))
    terminal = console.Terminal()
    command = shlex.join(["vitquant", *sys.argv[1:]])
    path = out or default_out(named, settings)
    done = run_export(named.path, settings, path, terminal, command)
    if done.verification is not None:
        terminal.table(_table(done.verification))
        for line in _lines(done.verification):
            terminal.say(line)
    if json:
        console.result_json(done.to_json())
    else:
        console.result(str(done.path))
    done.check()


def _table(found: "Verification") -> "Table":
    from rich.table import Table

    from vitquant.exporters.verification import Run

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


def _lines(found: "Verification") -> list[str]:
    bound = f"at least {found.min_agreement:.1%} has to agree"
    if found.agreement is None:
        bound = f"at most {found.max_difference:.3f} of difference is accepted"
    running, runtime = len(found.expected) - len(found.in_float), found.exported[0].runtime
    return [
        f"{running} of {len(found.expected)} matmuls on integer kernels in {runtime}",
        *found.notes,
        f"agreement and difference: with the quantized model in PyTorch, on {found.images} images "
        f"of {found.source}; {bound}",
    ]
