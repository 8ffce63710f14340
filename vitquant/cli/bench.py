"""``vitquant bench``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitquant.cli import arguments, console
from vitquant.cli.options import options
from vitquant.config.bench import BenchSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.table import Table

    from vitquant.benchmark.rows import Row

# Kinds of nodes that take less are summed up.
_WORTH_A_LINE = 0.5


@options(BenchSettings)
def bench(
    file: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE",
            help="ONNX files, of vitquant export or of other origin; - reads one path from stdin.",
        ),
    ],
    settings: BenchSettings,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write the rows to a .json file, or append them to a .csv file, and print its "
            "path.",
        ),
    ] = None,
    json: arguments.Json = False,
) -> None:
    """Time ONNX files side by side, in every installed runtime.

    They run in turn, so that what else the machine does disturbs all alike. With --model, the float
    model runs beside them, and with --calib each runtime's own int8 of it.
    """
    from vitquant.workflows.bench import run_bench

    paths = [Path(arguments.name_or_stdin(name)) for name in file]
    terminal = console.Terminal()
    done = run_bench(paths, settings, out, terminal)
    found = [_table(done.rows), *_breakdowns(done.rows)]
    show = terminal.table if json or out is not None else console.result_table
    for table in found:
        show(table)
    if json:
        console.result_json(done.to_json())
    elif out is not None:
        console.result(str(out))


def _table(rows: "Sequence[Row]") -> "Table":
    from rich.table import Table

    columns = [_columns(row) for row in rows]
    shown = [name for name in columns[0] if any(cells[name] for cells in columns)]
    table = Table()
    for name in shown:
        table.add_column(name, overflow="fold")
    for cells in columns:
        table.add_row(*(cells[name] for name in shown))
    return table


def _columns(row: "Row") -> dict[str, str]:
    """Cells by the titles of their columns; those that are empty in all rows are left out."""
    time, faster, scores = row.latency, row.speedup, row.scores
    return {
        "file": row.name,
        "runtime": row.runtime,
        "batch": str(row.batch_size),
        "ms": f"{time.median_ms:.2f}",
        "fastest": f"{time.minimum_ms:.2f}",
        "10 to 90%": f"{time.p10_ms:.2f} to {time.p90_ms:.2f}",
        "images/s": f"{time.images_per_second:.1f}",
        "x float": "" if faster is None else f"{faster.speedup_paired:.2f}",
        "MB": f"{row.bytes / 1e6:.2f}",
        "memory MB": "" if row.memory_bytes is None else f"{row.memory_bytes / 1e6:.0f}",
        "as float %": _percent(scores.agreement_float),
        "top-1 %": _percent(scores.top1),
        "agreement %": _percent(scores.agreement),
    }


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:.2f}"


def _breakdowns(rows: "Sequence[Row]") -> "Iterator[Table]":
    from rich.table import Table

    for row in rows:
        if row.breakdown is None:
            continue
        title = f"{row.name}, {row.runtime}, batches of {row.batch_size}"
        table = Table("kind of node", "nodes", "ms", "%", title=title, title_justify="left")
        shown = [kind for kind in row.breakdown if kind.percent >= _WORTH_A_LINE]
        rest = row.breakdown[len(shown) :]
        for kind in shown:
            table.add_row(kind.kind, str(kind.nodes), f"{kind.ms:.3f}", f"{kind.percent:.1f}")
        if rest:
            nodes = sum(kind.nodes for kind in rest)
            ms, percent = (sum(getattr(k, name) for k in rest) for name in ("ms", "percent"))
            table.add_row(f"{len(rest)} others", str(nodes), f"{ms:.3f}", f"{percent:.1f}")
        yield table
