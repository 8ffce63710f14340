"""How much memory it takes to run a file: measured in a process of its own, which this file is."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import vitquant

_RUNS = 3


class Memory(NamedTuple):
    """peak: the most that the process held, in bytes. added: how much more that is than before the
    runtime was imported: Python with torch, which a program of its own does without."""

    peak: int
    added: int


def memory_of(path: Path, runtime: str, shape: tuple[int, ...], threads: int) -> Memory | None:
    """The memory of a process that opens a file and runs it on a batch.

    Args:
        path: what the runtime opens.
        shape: of the batch.

    Returns None where the system does not tell, and where the process ended otherwise.
    """
    if sys.platform == "win32":
        return None
    places = [str(Path(vitquant.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    known = {"PYTHONPATH": os.pathsep.join(filter(None, places)), "OMP_NUM_THREADS": str(threads)}
    asked = json.dumps({"path": str(path), "runtime": runtime, "shape": shape, "threads": threads})
    # -P: not even a file of the same name in the current folder is imported.
    ended = subprocess.run(
        [sys.executable, "-P", "-m", __name__, asked],
        env=os.environ | known,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        return None
    return Memory(*json.loads(ended.stdout.splitlines()[-1]))


def peak_bytes() -> int:
    """The most that this process has held, since ``forget_peak`` where the system can forget.

    Not getrusage on Linux: what the process that started this one had held is counted there too.
    """
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024
    from vitquant.core.device import peak_memory_bytes

    return peak_memory_bytes("cpu")


def forget_peak() -> None:
    """Let :func:`peak_bytes` start from what is held now."""
    with contextlib.suppress(OSError):  # only on Linux, and not in every container
        Path("/proc/self/clear_refs").write_text("5")


def _measure(path: str, runtime: str, shape: list[int], threads: int) -> Memory:
    import torch

    from vitquant.benchmark.candidate import UNKNOWN
    from vitquant.exporters.runtimes.registry import get_runtime

    torch.set_num_threads(threads)
    forget_peak()
    before = peak_bytes()
    module = get_runtime(runtime).open(Path(path), UNKNOWN)
    for _ in range(_RUNS):
        module(torch.zeros(shape))
    peak = peak_bytes()
    return Memory(peak, peak - before)


if __name__ == "__main__":
    print(json.dumps(_measure(**json.loads(sys.argv[1]))))
