"""The file that rows are written to: one JSON object, or lines that are appended to a CSV file."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vitquant.benchmark.rows import Latency, Row, to_csv
from vitquant.core.errors import UserError
from vitquant.core.files import Input, check_writable, write_whole

_NESTED = "breakdown"
_SHARED = ("device", "threads", "repeats", "data", "images", "reference")
_VERSIONS = "versions"


def check_output(path: Path, flag: str, inputs: Iterable[Input]) -> None:
    """Raises UserError if ``path`` cannot be written, its name ends otherwise, or what is there has
    other columns."""
    if path.suffix not in (".csv", ".json"):
        raise UserError(f"{flag}: {path} ends in neither .csv nor .json, which are accepted")
    check_writable(path, flag, inputs)
    if path.suffix == ".csv" and (before := _read(path)):
        nothing = Row("", "", "", "", "", 1, Latency(0, 0, 0, 0, 0), None, 0)
        header = to_csv([nothing.to_json() | dict.fromkeys((*_SHARED, _VERSIONS))], True)
        if before.splitlines()[0] != header.splitlines()[0]:
            raise UserError(f"{flag}: {path} has other columns; a new file, or one of bench's rows")


def write_output(path: Path, flag: str, found: dict[str, Any]) -> None:
    """Write what ``vitquant bench --json`` prints; as CSV its rows, each with what they share,
    without breakdowns, behind the rows that are there already.

    Raises:
        UserError: the file cannot be written.
    """
    if path.suffix == ".json":
        text = json.dumps(found, ensure_ascii=False, indent=1) + "\n"
        write_whole(path, text.encode(), flag)
        return
    shared = {name: found[name] for name in _SHARED}
    shared[_VERSIONS] = " ".join(f"{name} {v}" for name, v in found[_VERSIONS].items())
    rows = [
        {name: value for name, value in row.items() if name != _NESTED} | shared
        for row in found["rows"]
    ]
    before = _read(path)
    write_whole(path, (before + to_csv(rows, not before)).encode(), flag)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
