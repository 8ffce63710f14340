"""Rows of CSV files: read, chosen by commit, grouped by seed, and written as text."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import mean

RESULTS = Path(__file__).parents[1] / "results"
MODELS = {"deit_tiny": "DeiT-Tiny", "vit_tiny_patch16_224": "ViT-Tiny"}
MINIATURES = ("vit_digits", "swin_digits")
CALIB = "imagenet/calib"
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
    def run(self) -> str:
        """The method, and its steps where it trains."""
        return run_label(self.method, self.steps)

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


@cache
def read(path: Path) -> tuple[Row, ...]:
    """All rows of a CSV file, in their order."""
    with path.open(newline="", encoding="utf-8") as file:
        return tuple(csv.DictReader(file))


def commit() -> str:
    """The commit whose rows the pages show: that of the row appended last to the first model's."""
    return read(RESULTS / f"{next(iter(MODELS))}.csv")[-1]["commit"]


def groups(name: str, **wanted: str | Iterable[str]) -> list[Group]:
    """Groups of one model, in order of appearance, whose columns have one of the values wanted."""
    found: dict[tuple[str, ...], list[Row]] = {}
    shown = commit()
    for row in read(RESULTS / f"{name}.csv"):
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


def float_group(name: str) -> Group:
    """The row of a float model."""
    (found,) = groups(name, method="float")
    return found


def over_samples(name: str) -> list[Group]:
    """W4A4 by 200 steps of joint training, by the number of calibration images."""
    found = groups(name, bits="w4a4", method="joint", steps="200", calib=CALIB)
    return sorted((g for g in found if not g.options or _is_samples(g)), key=_samples)


def with_options(name: str) -> list[Group]:
    """Groups with options other than the number of calibration images."""
    return [g for g in groups(name, calib=CALIB) if g.options and not _is_samples(g)]


def _is_samples(found: Group) -> bool:
    return found.options.startswith("--samples")


def _samples(found: Group) -> int:
    return int(found.samples)


def run_label(method: str, steps: str) -> str:
    """A method in Markdown, and its steps where it trains."""
    return f"`{method}`" + (f", {steps} steps" if steps != "0" else "")


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
