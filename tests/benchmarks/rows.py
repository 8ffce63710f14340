"""Rows of docs/results/*.csv: appended when a run has ended, and never edited."""

import csv
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from vitquant.benchmark.machine import cpu_name
from vitquant.benchmark.rows import to_csv

Row = dict[str, str]
ROOT = Path(__file__).parents[2]


def provenance() -> Row:
    """Today's date, the last commit that changed the package, and the machine.

    Raises SystemExit where the package has changes that are in no commit: nobody could repeat a
    figure that was measured with them.
    """
    if _git("status", "--porcelain", "--", "vitquant"):
        raise SystemExit("vitquant/ has uncommitted changes; commit them before measuring")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _git("log", "-1", "--format=%h", "--abbrev=7", "--", "vitquant"),
        "machine": cpu_name(),
    }


def read(path: Path) -> list[Row]:
    """All rows of a file; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def append(path: Path, row: dict[str, object]) -> None:
    """Add one row, and the names of the columns to a new file."""
    text = to_csv([row], header=not path.exists())
    with path.open("a", newline="", encoding="utf-8") as file:
        file.write(text)


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
