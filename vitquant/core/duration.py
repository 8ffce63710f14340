"""How long a run of equal steps will take, known once some of them are finished."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

OnEstimate = Callable[[float], None]
"""Called with the seconds that a run takes; may raise, which ends the run."""

_WARM_UP = 1
_FEWEST = 2
# Other work on a machine can make a few short steps take ten times as long as the rest.
_SECONDS = 60.0


def ignore_estimate(seconds: float) -> None:
    """Let the run go on, however long it takes."""


@dataclass
class DurationEstimate:
    """Calls ``on_estimate`` once with the number of seconds that the run will take in all.

    It does so a minute after the first step, or once two more are finished if they take longer, and
    not at all if the run is over by then.

    steps: of the run. clock: the time in seconds.
    """

    steps: int
    on_estimate: OnEstimate
    clock: Callable[[], float] = time.monotonic
    _done: int = field(default=0, init=False)
    _start: float = field(default=0.0, init=False)
    _reported: bool = field(default=False, init=False)

    def tick(self) -> None:
        """One more step is finished."""
        self._done += 1
        if self._done == _WARM_UP:
            self._start = self.clock()
        measured, elapsed = self._done - _WARM_UP, self.clock() - self._start
        known = measured >= _FEWEST and elapsed >= _SECONDS
        if known and not self._reported and self._done < self.steps:
            self._reported = True
            self.on_estimate(elapsed / measured * self.steps)


def format_duration(seconds: float) -> str:
    """ "40 seconds", "12 minutes", "5 hours", "2 days": about."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 1.5 * size:
            return _counted(round(seconds / size), unit)
    return _counted(max(1, round(seconds)), "second")


def _counted(count: int, unit: str) -> str:
    return f"{count} {unit}{'' if count == 1 else 's'}"
