"""How long quantizing takes beside other work, for several ways in which OpenMP's threads wait.

    python tests/benchmarks/neighbors.py vit_digits --calib digits --steps 20 --busy 0 1 2

Each way has a process of its own, which stays alive. In each round, every process quantizes once,
one after the other, so that all ways meet the same weather; a ratio compares two times of one
round. Busy neighbors are processes that count. The times leave out imports and images.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
# Naming the number of threads keeps vitquant from choosing it, naming the wait policy the spins.
_THREADS = {"OMP_NUM_THREADS": str(_CORES)}
_BASE = "torch"
_WAYS = {
    _BASE: _THREADS,
    "spin300000": _THREADS | {"GOMP_SPINCOUNT": "300000"},
    "spin100000": _THREADS | {"GOMP_SPINCOUNT": "100000"},
    "spin20000": _THREADS | {"GOMP_SPINCOUNT": "20000"},
    "spin5000": _THREADS | {"GOMP_SPINCOUNT": "5000"},
    "spin1000": _THREADS | {"GOMP_SPINCOUNT": "1000"},
    "passive": _THREADS | {"OMP_WAIT_POLICY": "passive"},
    "block1": _THREADS | {"KMP_BLOCKTIME": "1"},
    "one": {"OMP_NUM_THREADS": "1"},
    "vitquant": {},
}
_CHOICES = {"OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"}


def main() -> None:
    options = _parse()
    if options.work:
        _work(options)
        return
    with ExitStack() as stack:
        workers = {way: stack.enter_context(_worker(way)) for way in [_BASE, *options.ways]}
        for worker in workers.values():
            worker.stdout.readline()  # it is ready
        rounds: dict[int, list[dict[str, float]]] = {busy: [] for busy in options.busy}
        for _, busy in product(range(options.rounds), options.busy):
            with _neighbors(busy):
                times = {way: _seconds(worker) for way, worker in workers.items()}
            rounds[busy].append(times)
            print(f"{busy} busy: {times}", file=sys.stderr, flush=True)
    _print(rounds)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="vit_digits")
    parser.add_argument("--weights")
    parser.add_argument("--bits", default="w4a4")
    parser.add_argument("--calib", default="digits")
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--learn", action="store_true", help="prompts, instead of quantizing")
    parser.add_argument("--compile", action="store_true", help="the quantizers")
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--ways", nargs="*", default=["spin20000", "passive", "one", "vitquant"], choices=_WAYS
    )
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _work(options: argparse.Namespace) -> None:
    """Print a line when ready, then work and print the seconds for each line of stdin."""
    import torch

    work = _learning if options.learn else _quantizing
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # all processes get ready at once
    work(options, 1)
    torch.set_num_threads(threads)
    print(flush=True)
    for _ in sys.stdin:
        print(work(options, options.steps), flush=True)


def _quantizing(options: argparse.Namespace, steps: int) -> float:
    import vitquant

    result = vitquant.quantize(
        options.model,
        options.bits,
        options.calib,
        weights=options.weights,
        samples=options.samples,
        init_images=options.samples if steps > 1 else 1,
        steps=steps,
        compile=options.compile,
    )
    return result.seconds


def _learning(options: argparse.Namespace, steps: int) -> float:
    from vitquant.config.groups.prompts import PromptSettings
    from vitquant.core.progress import Silent
    from vitquant.models.sources import load_float
    from vitquant.synthesis.diffusion.generator import load_generator
    from vitquant.synthesis.diffusion.learn_job import PromptLearner
    from vitquant.synthesis.job import run
    from vitquant.synthesis.target_classes import target_classes

    model = load_float(options.model)
    generator = load_generator(None, options.model, "auto", "cpu", Silent())
    classes = target_classes(model, None)[:1]
    learner = PromptLearner(model, generator, classes, PromptSettings(steps=steps))
    with TemporaryDirectory() as folder:
        start = time.monotonic()
        run(learner, Path(folder) / "prompts.safetensors", Silent())
        return time.monotonic() - start


@contextmanager
def _worker(way: str) -> Iterator[Any]:
    environment = {n: v for n, v in os.environ.items() if n not in _CHOICES} | _WAYS[way]
    command = [sys.executable, *sys.argv, "--work"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as worker:
        yield worker  # its stdin is closed at the end, so it ends


def _seconds(worker: Any) -> float:
    worker.stdin.write("\n")
    worker.stdin.flush()
    return float(worker.stdout.readline())


@contextmanager
def _neighbors(number: int) -> Iterator[None]:
    count = f"import os\nwhile os.getppid() == {os.getpid()}:\n    for _ in range(10**6): pass"
    busy = [subprocess.Popen([sys.executable, "-c", count]) for _ in range(number)]
    try:
        time.sleep(0.5)
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def _print(rounds: dict[int, list[dict[str, float]]]) -> None:
    print(f"{' '.join(sys.argv[1:])}; {_CORES} cores")
    print("busy  way         seconds: min, median    ratio: min, median")
    for busy, rows in rounds.items():
        for way in rows[0]:
            seconds = [row[way] for row in rows]
            ratios = [row[way] / row[_BASE] for row in rows]
            print(
                f"{busy:4}  {way:12} {min(seconds):12.2f} {median(seconds):8.2f}"
                f" {min(ratios):13.2f} {median(ratios):8.2f}"
            )


if __name__ == "__main__":
    main()
