"""The rows of docs/results/*.csv: read, chosen by commit, grouped by seed, and written as text."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

RESULTS = Path(__file__).parents[1] / "results"
MODELS = {"deit_tiny": "DeiT-Tiny", "vit_tiny_patch16_224": "ViT-Tiny"}
MINIATURES = ("vit_digits", "swin_digits")
BITS = ("w8a8", "w6a6", "w4a4", "w3a3", "w1.58a8")
Row = dict[str, str]


@dataclass(frozen=True)
class Group:
    """Rows that differ in nothing but the seed."""

    rows: tuple[Row, ...]

    def __getattr__(self, name: str) -> str:
        return self.rows[0][name]

    def values(self, column: str, factor: float = 1) -> list[float]:
        return [factor * float(row[column]) for row in self.rows if row[column]]

    def mean(self, column: str, factor: float = 1) -> float:
        return mean(self.values(column, factor))

    @property
    def drop(self) -> float:
        """Points of top-1 below the float model, the mean over the seeds."""
        return self.mean("float_top1", 100) - self.mean("top1", 100)

    def percent(self, column: str) -> str:
        """The mean over the seeds, with the lowest and the highest where they differ."""
        values = self.values(column, 100)
        found = f"{mean(values):.1f}"
        lowest, highest = f"{min(values):.1f}", f"{max(values):.1f}"
        return found if lowest == highest else f"{found} ({lowest} – {highest})"


def read(name: str) -> list[Row]:
    """All rows of a file in docs/results, as they were appended."""
    with (RESULTS / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def commit() -> str:
    """The commit whose rows the pages show: that of the row appended last to the first model's."""
    return read(next(iter(MODELS)))[-1]["commit"]


def groups(name: str, **wanted: str | Iterable[str]) -> list[Group]:
    """Groups of one model, in order of appearance, whose columns have one of the values wanted."""
    found: dict[tuple[str, ...], list[Row]] = {}
    shown = commit()
    for row in read(name):
        choices = {c: [v] if isinstance(v, str) else list(v) for c, v in wanted.items()}
        if row["commit"] == shown and all(row[c] in values for c, values in choices.items()):
            key = tuple(row[c] for c in ("data", "calib", "options", "steps", "method", "bits"))
            found.setdefault(key, []).append(row)
    return [Group(tuple(rows)) for rows in found.values()]


def group(name: str, **wanted: str) -> Group | None:
    """The only group that has these values, or None."""
    found = groups(name, **wanted)
    if len(found) > 1:
        raise ValueError(f"{name}: {wanted} fits {len(found)} groups of rows")
    return found[0] if found else None


def label(bits: str) -> str:
    """As it is written in text: W1.58A8."""
    return "float" if bits == "w32a32" else bits.upper()


def table(head: str, lines: Iterable[Iterable[str]]) -> str:
    """A Markdown table; ``head`` has the names of the columns between bars."""
    lines = list(lines)
    if not lines:
        return "Not measured at this commit: see the [log](../research-log.md)."
    rule = "|".join([" --- "] * len(head.split("|")))
    return "\n".join([f"| {head} |", f"|{rule}|", *(f"| {' | '.join(line)} |" for line in lines)])
