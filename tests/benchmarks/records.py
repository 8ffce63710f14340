"""Finished runs in a file, a line of JSON each, so that an interrupted table goes on."""

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def measured(path: Path, wanted: list[Record], measure: Callable[[Record], Record]) -> list[Record]:
    """A record for each run wanted; those that the file holds already are not repeated.

    measure: from what identifies a run to what was measured.
    """
    known = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    for run in wanted:
        if not any(_answers(record, run) for record in known):
            print(run, file=sys.stderr)
            known.append(run | measure(run))
            with path.open("a") as file:
                file.write(json.dumps(known[-1]) + "\n")
    return [record for run in wanted for record in known if _answers(record, run)]


def vitquant(*arguments: object) -> Record:
    """The JSON result of a command in a process of its own, which its peak memory needs."""
    command = [sys.executable, "-m", "vitquant", *map(str, arguments), "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def vitquant_here(*arguments: object) -> Record:
    """The same in this process, for many short runs."""
    from vitquant.cli.main import main

    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = main([*map(str, arguments), "--json"])
    if code:
        sys.exit(code)
    return json.loads(out.getvalue())


def _answers(record: Record, run: Record) -> bool:
    return all(record.get(key) == value for key, value in run.items())
