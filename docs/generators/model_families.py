"""The rows of the page on supported models: every step, for one small model of each family."""

import csv
import fcntl
import json
import sys
import time
from collections.abc import Collection, Iterator
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import torch

from generators import timm_families, torchvision_families, transformers_families
from generators.isolation import run_apart
from generators.model_steps import NONE, STEPS, Cells, try_steps
from vitquant.core.errors import first_line

ROWS = Path(__file__).parents[1] / "reference" / "supported-models.csv"
LIBRARIES: dict[str, ModuleType] = {
    "timm": timm_families,
    "transformers": transformers_families,
    "torchvision": torchvision_families,
}
"""What has ``names()``, ``example(name)`` and ``build(name, folder)`` for a library."""
_FOUND = ("layers", "matmuls", "constant", "attention", "refused")
COLUMNS = ("library", "family", "example", *_FOUND, *STEPS, "version")
_LIMIT, _SLOW = 180, 20
_ERROR, _SECONDS = "error", "seconds"
Key = tuple[str, str]


def keys() -> list[Key]:
    """All families, by library and name, in the order of the rows."""
    return [(library, family) for library, m in LIBRARIES.items() for family in m.names()]


def write_rows(names: Collection[str]) -> None:
    """Measure families by name or example; with no name those that have no row.

    Each row is written as soon as it is measured, so an interrupted run can be started again.

    Raises:
        SystemExit: there is no such family.
    """
    wanted = list(_named(names) if names else _missing())
    for number, (library, family) in enumerate(wanted, 1):
        row = measure(library, family)
        seconds = float(row.pop(_SECONDS, "0"))
        _write(row)
        slow = ", slow" if seconds > _SLOW else ""
        about = f"{library}, {family}: {seconds:.0f} s of computing{slow}"
        print(f"{number} of {len(wanted)}: {about}", flush=True)


def measure(library: str, family: str, seconds: int = _LIMIT) -> Cells:
    """The row of a family, measured in a process that may compute for so many seconds.

    ``seconds`` of it is what was computed for, which is no column.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder) / "row.json"
        stopped = run_apart(_measure, library, family, file, seconds=seconds)
        cells: Cells = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    stopped = cells.pop(_ERROR, stopped)
    found = dict.fromkeys(_FOUND, "") | dict.fromkeys(STEPS, NONE) | cells
    if stopped:  # at the first step that is not known; what follows was not tried
        found[next(column for column in STEPS if column not in cells)] = stopped
    return found | {
        "library": library,
        "family": family,
        "example": LIBRARIES[library].example(family),
        "version": metadata.version(library),
    }


def _measure(library: str, family: str, file: Path) -> None:
    """Write to ``file`` what is known so far, again and again."""
    torch.set_num_threads(1)
    cells: Cells = {}

    def note(more: Cells) -> None:
        cells.update(more)
        used = {_SECONDS: f"{time.process_time():.0f}"}
        file.write_text(json.dumps(cells | used), encoding="utf-8")

    folder = file.parent / "files"
    folder.mkdir()
    try:
        try_steps(LIBRARIES[library].build(family, folder), folder, note)
    except Exception as error:  # of what is no step: building, finding layers
        note({_ERROR: f"{type(error).__name__}: {first_line(error)}"})


def _named(names: Collection[str]) -> Iterator[Key]:
    unknown = set(names)
    for library, family in keys():
        called = {family, LIBRARIES[library].example(family)} & set(names)
        unknown -= called
        if called:
            yield library, family
    if unknown:
        sys.exit(f"--models: no family is called {', '.join(sorted(unknown))}")


def _missing() -> Iterator[Key]:
    present = {(row["library"], row["family"]) for row in read_rows()}
    return (key for key in keys() if key not in present)


def read_rows() -> list[Cells]:
    """What is in the file now."""
    if not ROWS.exists():
        return []
    with ROWS.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _write(row: Cells) -> None:
    """Put a row in its place; several programs may do so at once."""
    with ROWS.open("a+", newline="", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        rows = {(r["library"], r["family"]): r for r in [*csv.DictReader(file), row]}
        file.truncate(0)
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[key] for key in keys() if key in rows)
