"""How a checkpoint was made, and how fast its file runs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Curve:
    """A loss over steps. name: ``loss``, ``features``, ``logits``, or the name of a block."""

    name: str
    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Training:
    """Losses, some of the steps. steps: how many there were; with ``block``, of each block."""

    method: str
    steps: int
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class Recipe:
    """toml: the settings, for ``quantize --recipe``. commands: that made the checkpoint."""

    toml: str
    commands: tuple[str, ...]


@dataclass(frozen=True)
class Latency:
    """One model in one runtime.

    Attributes:
        model: ``quantized`` or ``float``.
        runtime: ``onnxruntime`` or ``openvino``.
        bytes: of the file.
        median_ms, p10_ms, p90_ms: milliseconds for a batch.
        speedup: how many times as fast as the float model in this runtime, the median of the ratios
            of runs in turn; None for the float model.
    """

    model: str
    runtime: str
    bytes: int
    median_ms: float
    p10_ms: float
    p90_ms: float
    speedup: float | None


@dataclass(frozen=True)
class Latencies:
    """Of exported files. device: the name of the processor. versions: of the runtimes."""

    device: str
    threads: int
    batch_size: int
    repeats: int
    versions: dict[str, str]
    rows: tuple[Latency, ...]
