"""Open what is compared, run it in turn, and look into one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from vitquant.benchmark.candidate import Candidate, Opened, open_candidate
from vitquant.benchmark.memory import Memory, memory_of
from vitquant.benchmark.rows import KindTime, Latency, Row, Speedup, by_kind
from vitquant.benchmark.timing import Runner, interleave
from vitquant.core.errors import UserError, first_line
from vitquant.core.progress import Progress
from vitquant.exporters.runtimes.registry import get_runtime

_PROFILED_RUNS = 20


def open_in(
    candidates: Sequence[Candidate], runtimes: Sequence[str], progress: Progress
) -> list[Opened]:
    """Each candidate in each runtime. A runtime that does not accept a file is left out, with a
    warning.

    Raises:
        UserError: no runtime accepts a file.
    """
    found = []
    for candidate in candidates:
        opened, reasons = [], []
        for runtime in runtimes:
            if candidate.runtimes and runtime not in candidate.runtimes:
                continue
            if get_runtime(runtime).format != candidate.format:
                continue
            try:
                opened.append(open_candidate(candidate, runtime))
            except UserError as error:
                reasons.append(str(error))
        if not opened and not reasons:
            reasons.append(f"none of {', '.join(runtimes)} opens it; --runtime names another")
        if not opened:
            raise UserError(f"FILE: {candidate.name}: {'; '.join(reasons)}")
        for reason in reasons:
            progress.warn(f"{candidate.name}: {reason}")
        found += opened
    return found


@dataclass(frozen=True)
class Wanted:
    """What is measured beside latency. threads: of the process whose memory is measured."""

    repeats: int
    breakdown: bool
    memory: bool
    threads: int


@torch.inference_mode()
def measure(
    opened: Sequence[Opened], batch_size: int, wanted: Wanted, progress: Progress
) -> list[tuple[Opened, Row]]:
    """A row for each file that takes batches of a size.

    Raises:
        UserError: a file does not run on what it says that it takes.
    """
    taking = [o for o in opened if o.candidate.batch in (None, batch_size)]
    for one in taking:
        _check_runs(one, batch_size)
    runners = [_runner(one, batch_size) for one in taking]
    what = f"batches of {batch_size}"
    seconds = interleave(runners, wanted.repeats, progress, what)
    base = {
        one.runtime: taken
        for one, taken in zip(taking, seconds, strict=True)
        if one.candidate.kind == "float"
    }
    rows = []
    pairs = zip(taking, seconds, strict=True)
    for one, taken in progress.track(pairs, len(taking), "memory and nodes"):
        candidate = one.candidate
        memory = _memory(one, batch_size, wanted)
        row = Row(
            name=candidate.name,
            kind=candidate.kind,
            model=candidate.metadata.identity.name,
            bits=candidate.metadata.bits,
            runtime=one.runtime,
            batch_size=batch_size,
            latency=Latency.of(taken, batch_size),
            speedup=Speedup.of(taken, base[one.runtime]) if one.runtime in base else None,
            bytes=candidate.bytes,
            peak_memory_bytes=memory and memory.peak,
            memory_bytes=memory and memory.added,
            breakdown=_breakdown(one, batch_size) if wanted.breakdown else None,
        )
        rows.append((one, row))
    return rows


def _runner(one: Opened, batch_size: int) -> Runner:
    example = one.candidate.example(batch_size)
    return lambda: one.module(example)


def _check_runs(one: Opened, batch_size: int) -> None:
    example = one.candidate.example(batch_size)
    try:
        one.module(example)
    except Exception as error:  # the runtimes' errors have no class in common
        raise UserError(
            f"FILE: {one.candidate.name} does not run in {one.label} on images of "
            f"{'x'.join(map(str, example.shape))} ({first_line(error)}); --runtime names another"
        ) from error


def _memory(one: Opened, batch_size: int, wanted: Wanted) -> Memory | None:
    if not wanted.memory:
        return None
    shape = (batch_size, *one.candidate.size)
    return memory_of(one.candidate.path, one.runtime, shape, wanted.threads)


def _breakdown(one: Opened, batch_size: int) -> list[KindTime]:
    example = one.candidate.example(batch_size)
    return by_kind(get_runtime(one.runtime).profile(one.candidate.path, example, _PROFILED_RUNS))
