"""What is reported of a file in a runtime at a size of batch, from the seconds of its runs."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

from vitquant.exporters.runtimes.base import NodeTime


@dataclass(frozen=True)
class Latency:
    """How long a batch takes.

    Attributes:
        median_ms: the median of the timed runs, in milliseconds.
        minimum_ms: the fastest run.
        p10_ms: the tenth percentile.
        p90_ms: the ninetieth percentile.
        images_per_second: of the median.
    """

    median_ms: float
    minimum_ms: float
    p10_ms: float
    p90_ms: float
    images_per_second: float

    @classmethod
    def of(cls, seconds: Sequence[float], batch_size: int) -> "Latency":
        """From the seconds of runs; images a second are those of the median."""
        low, middle, high = (float(x) for x in np.percentile(seconds, (10, 50, 90)))
        fastest, rate = 1e3 * min(seconds), batch_size / middle
        return cls(1e3 * middle, fastest, 1e3 * low, 1e3 * high, rate)


@dataclass(frozen=True)
class Speedup:
    """How many times as fast as the float model in the same runtime.

    Attributes:
        speedup_median: the ratio of the medians.
        speedup_minimum: the ratio of the fastest runs.
        speedup_paired: the median of the ratios of each round.
    """

    speedup_median: float
    speedup_minimum: float
    speedup_paired: float

    @classmethod
    def of(cls, seconds: Sequence[float], base: Sequence[float]) -> "Speedup":
        """base: the seconds of the float model, in the same rounds."""
        pairs = zip(base, seconds, strict=True)
        return cls(
            median(base) / median(seconds),
            min(base) / min(seconds),
            median(b / s for b, s in pairs),
        )


@dataclass(frozen=True)
class KindTime:
    """All nodes of a kind in one run.

    Attributes:
        kind: operator, and the type that it computes with.
        nodes: how many there are.
        ms: their time in milliseconds.
        percent: of the time of all nodes.
    """

    kind: str
    nodes: int
    ms: float
    percent: float


def by_kind(times: Iterable[NodeTime]) -> list[KindTime]:
    """The sums of each kind of node, the largest first."""
    found: dict[str, list[float]] = defaultdict(list)
    for node in times:
        found[node.kind].append(node.seconds)
    total = sum(map(sum, found.values())) or 1.0
    rows = [
        KindTime(kind, len(taken), 1e3 * sum(taken), 100 * sum(taken) / total)
        for kind, taken in found.items()
    ]
    return sorted(rows, key=lambda row: -row.ms)


@dataclass(frozen=True)
class Scores:
    """Fractions of images; None for what was not measured.

    Attributes:
        agreement_float: calibration images with the float model's top-1 prediction.
        top1: labeled images whose top-1 prediction is the label.
        agreement: labeled images with the reference's top-1 prediction.
    """

    agreement_float: float | None = None
    top1: float | None = None
    agreement: float | None = None


@dataclass(frozen=True)
class Row:
    """A file in a runtime at a batch size.

    Attributes:
        name: the path of the file, or what made it.
        kind: ``"file"``, ``"float"``, or ``"int8"`` for what a runtime made of the float model.
        model: as the file says; empty where it does not.
        bits: as the file says; empty where it does not.
        runtime: ``"onnxruntime"``, ``"openvino"`` or ``"executorch"``.
        batch_size: how many images it takes at once.
        latency: times of a batch.
        speedup: over the float model; None without one.
        bytes: size of the file, with weights that lie beside it.
        peak_memory_bytes: of a process that runs the file; None where it was not measured.
        memory_bytes: what of that the runtime and the file added to Python with torch.
        scores: predictions of the file.
        breakdown: with ``breakdown=True``, the time by kind of node; else None.
    """

    name: str
    kind: str
    model: str
    bits: str
    runtime: str
    batch_size: int
    latency: Latency
    speedup: Speedup | None
    bytes: int
    peak_memory_bytes: int | None = None
    memory_bytes: int | None = None
    scores: Scores = Scores()
    breakdown: list[KindTime] | None = None

    def to_json(self) -> dict[str, Any]:
        """One level of plain values, and the breakdown where there is one."""
        flat = asdict(self)
        unknown = dict.fromkeys(Speedup.__dataclass_fields__)
        for name in ("latency", "speedup"):
            part = flat.pop(name) or unknown
            flat |= {key: _short(value) for key, value in part.items()}
        flat |= flat.pop("scores")
        if (kinds := flat.pop("breakdown")) is not None:
            flat["breakdown"] = [{k: _short(v) for k, v in row.items()} for row in kinds]
        return flat


def to_csv(rows: Sequence[Mapping[str, Any]], header: bool) -> str:
    """Lines of a CSV file. rows: with the same keys. header: whether the first line names them."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _short(value: Any) -> Any:
    return float(f"{value:.5g}") if isinstance(value, float) else value
