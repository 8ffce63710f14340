"""Write the pages of docs/ that follow from the code.

``python docs/generate.py`` writes them; with ``--check`` it compares them and exits with code 1
where one has to be written again.
"""

import csv
import sys
from operator import itemgetter
from pathlib import Path

import typer

from vitquant.cli.main import app

DOCS = Path(__file__).parent
HEAD = (
    "# Commands and options\n\n"
    "<!-- Written by docs/generate.py: edit the declarations in vitquant/config/ instead. -->\n\n"
    "`vitquant COMMAND --help` prints the same. Exit codes, what `--json` prints, and environment "
    "variables are on [another page](json.md). An option that has no effect with the others given "
    "is refused.\n\n"
    "Options of the program itself stand before the command: `vitquant --debug quantize …`.\n"
)


BENCHMARK_HEAD = (
    "# Files side by side\n\n"
    "<!-- Written by docs/generate.py from targets.csv: vitquant bench appends its rows there. -->"
    "\n\nEach table is one interleaved run of `vitquant bench`, one image at a time: the median of "
    "its rounds, and in how many times less time than the float model in the same runtime (the "
    "median of the ratios of each round), then the same of the fastest rounds: what else a machine "
    "does makes rounds longer, never shorter. Agreement is that with the checkpoint in PyTorch. "
    "[targets.md](../targets.md) says how the files were made.\n"
)


def command_line() -> str:
    """The reference of all commands, in Markdown."""
    program = typer.main.get_command(app)
    parts = [HEAD, *_table(program.params)]
    for name, command in program.commands.items():  # type: ignore[attr-defined]
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        usage = " ".join(["vitquant", name, *(a.metavar or a.name.upper() for a in arguments)])
        parts += [f"\n## `{usage}`\n", command.help, ""]
        parts += [f"`{a.metavar}`: {a.help}\n" for a in arguments]
        options = [p for p in command.params if p.param_type_name == "option"]
        panels = dict.fromkeys(p.rich_help_panel for p in options)
        for panel in panels:
            parts += [f"\n### {panel}\n"] if panel else []
            parts += _table([p for p in options if p.rich_help_panel == panel])
    return "\n".join(parts).replace("\n\n\n", "\n\n") + "\n"


def _table(options: list) -> list[str]:
    lines = ["| option | |", "| --- | --- |"]
    for option in options:
        names = ", ".join([*option.opts, *option.secondary_opts])
        value = f" {option.metavar}" if option.metavar else ""
        lines.append(f"| `{names}{value}` | {(option.help or '').replace('|', chr(92) + '|')} |")
    return lines


def benchmark() -> str:
    """The table of all rows that ``vitquant bench`` wrote, in Markdown."""
    with (DOCS / "results" / "targets.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    parts = [BENCHMARK_HEAD]
    run_of = itemgetter("model", "device", "threads", "versions")
    for run in dict.fromkeys(map(run_of, rows)):
        model, device, threads, versions = run
        own = [row for row in rows if run_of(row) == run]
        names = (
            "runtime | file | ms | 10% to 90% | times float | fastest ms | times float, fastest | "
            "MB | top-1 % | agreement %"
        )
        parts += [
            f"## {model}\n\n{device}, {threads} threads, {own[0]['repeats']} rounds; {versions}.\n",
            f"| {names} |\n|{' --- |' * len(names.split('|'))}",
        ]
        for row in sorted(own, key=lambda r: r["runtime"]):
            cells = [
                row["runtime"],
                row["name"] + (" (its own int8)" if row["kind"] == "int8" else ""),
                f"{float(row['median_ms']):.2f}",
                f"{float(row['p10_ms']):.2f} to {float(row['p90_ms']):.2f}",
                f"{float(row['speedup_paired']):.2f}",
                f"{float(row['minimum_ms']):.2f}",
                f"{float(row['speedup_minimum']):.2f}",
                f"{int(row['bytes']) / 1e6:.2f}",
                *(f"{100 * float(row[n]):.2f}" if row[n] else "" for n in ("top1", "agreement")),
            ]
            parts.append(f"| {' | '.join(cells)} |")
        parts.append("")
    return "\n".join(parts)


PAGES = {"reference/cli.md": command_line, "results/targets.md": benchmark}


def main(arguments: list[str]) -> int:
    """Write or check the pages; returns the exit code."""
    stale = [n for n, page in PAGES.items() if _read(DOCS / n) != page()]
    if arguments == ["--check"]:
        for name in stale:
            print(f"docs/{name} is out of date; python docs/generate.py writes it", file=sys.stderr)
        return 1 if stale else 0
    for name in stale:
        (DOCS / name).parent.mkdir(exist_ok=True)
        (DOCS / name).write_text(PAGES[name](), encoding="utf-8")
        print(f"docs/{name}")
    return 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
