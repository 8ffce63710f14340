"""How long a run of equal steps will take, known once some of them are done."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

_WARM_UP = 1
_FEWEST = 2
# Other work on a machine can make a few short steps take ten times as long as the rest.
_SECONDS = 60.0


@dataclass
class Stopwatch:
    """Tells ``tell`` once how many seconds the run will take in all.

    It does so a minute after the first step, or once two more are done if they take longer, and not
    at all if the run is over by then.

    steps: of the run. tell: may raise, which ends the run. clock: the time in seconds.
    """

    steps: int
    tell: Callable[[float], None]
    clock: Callable[[], float] = time.monotonic
    _done: int = field(default=0, init=False)
    _start: float = field(default=0.0, init=False)
    _told: bool = field(default=False, init=False)

    def tick(self) -> None:
        """One more step is done."""
        self._done += 1
        if self._done == _WARM_UP:
            self._start = self.clock()
        measured, elapsed = self._done - _WARM_UP, self.clock() - self._start
        known = measured >= _FEWEST and elapsed >= _SECONDS
        if known and not self._told and self._done < self.steps:
            self._told = True
            self.tell(elapsed / measured * self.steps)


def in_words(seconds: float) -> str:
    """ "40 seconds", "12 minutes", "5 hours", "2 days": about."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        if seconds >= 1.5 * size or unit == "second":
            count = max(1, round(seconds / size))
            return f"{count} {unit}{'' if count == 1 else 's'}"
    raise AssertionError
