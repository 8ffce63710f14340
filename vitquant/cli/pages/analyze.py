"""``vitquant analyze``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitquant.cli import arguments, console
from vitquant.cli.options import options
from vitquant.config.analyze import AnalyzeSettings
from vitquant.models.float_options import FloatOptions

if TYPE_CHECKING:
    from rich.table import Table

    from vitquant.reports.analysis import Analysis


@options(AnalyzeSettings)
def analyze(
    model: arguments.ModelName,
    settings: AnalyzeSettings,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write a page with a heat map to FILE.html, or the rows to FILE.csv or FILE.json, "
            "and print its path. A run that was interrupted goes on.",
        ),
    ] = None,
    weights: arguments.Weights = None,
    num_classes: arguments.NumClasses = None,
    input_size: arguments.InputSize = None,
    device: arguments.Device = "auto",
    yes: arguments.Yes = False,
    json: arguments.Json = False,
) -> None:
    """Measure what each layer loses at each width, without labels.

    Each layer, attention matmul and group of them alone is quantized, and alone is spared. Prints
    a table: losses, bytes, and the share of an exported file's time.
    """
    given = FloatOptions.build(weights, num_classes, input_size)
    from vitquant.core.device import resolve_device
    from vitquant.workflows.allocation.analyze import run_analysis

    terminal = console.Terminal()
    done = run_analysis(
        arguments.name_or_stdin(model),
        settings,
        given,
        out,
        resolve_device(device),
        terminal,
        arguments.confirmation(yes, terminal),
    )
    if done is None:
        return
    show = terminal.table if json or out is not None else console.result_table
    show(_table(done))
    if json:
        console.result_json(done.to_json())
    elif out is not None:
        console.result(str(out))


def _table(done: "Analysis") -> "Table":
    from rich.table import Column, Table

    # Names that a narrow terminal cuts are those of no part.
    name = Column("part", min_width=max(len(part.name) for part in done.parts))
    titles = [f"{c.bits} {'spared' if c.spared else 'alone'}" for c in done.columns]
    sizes = [f"{bits} bytes" for bits in done.settings.bits]
    table = Table(name, "kind", *titles, *sizes, "time %", title=f"{done.loss} from float")
    whole = [f"{column.whole.divergence:.3g}" if column.spared else "" for column in done.columns]
    table.add_row("everything", "", *whole, *[""] * len(sizes), "")
    for i, part in enumerate(done.parts):
        losses = [f"{column.losses[i].divergence:.3g}" for column in done.columns]
        share = done.time_share(part)
        time = "" if share is None else f"{100 * share:.1f}"
        table.add_row(part.name, part.kind, *losses, *(f"{n:,}" for n in done.bytes[i]), time)
    return table
