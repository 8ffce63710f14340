"""Runs in turn, so that what disturbs one of several programs disturbs all."""

import time
from collections.abc import Callable, Sequence

from vitquant.core.progress import Progress

WARM_UP = 3
"""Rounds that are not timed."""

Runner = Callable[[], object]


def interleave(
    runners: Sequence[Runner],
    repeats: int,
    progress: Progress,
    what: str,
    clock: Callable[[], float] = time.perf_counter,
) -> list[list[float]]:
    """For each runner the seconds of ``repeats`` runs, one of every round.

    In a round all run once, and each round another one is the first. An untimed run comes directly
    before each timed one: threads of the program before it may still spin, waiting for work.
    """
    seconds: list[list[float]] = [[] for _ in runners]
    rounds = WARM_UP + repeats
    for round_ in progress.track(range(rounds), rounds, what):
        for place in range(len(runners)):
            which = (round_ + place) % len(runners)
            runners[which]()
            start = clock()
            runners[which]()
            taken = clock() - start
            if round_ >= WARM_UP:
                seconds[which].append(taken)
    return seconds
