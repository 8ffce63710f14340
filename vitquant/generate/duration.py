"""How long a run of equal steps will take, known after the first few."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

_WARM_UP = 1
_MEASURED = 3


@dataclass
class Stopwatch:
    """Tells ``tell`` once, after a few steps, how many seconds the run will take in all.

    steps: of the run. tell: may raise, which ends the run.
    """

    steps: int
    tell: Callable[[float], None]
    _done: int = 0
    _start: float = field(default_factory=time.monotonic)

    def tick(self) -> None:
        """One more step is done."""
        self._done += 1
        if self._done == min(_WARM_UP, self.steps - 1):
            self._start = time.monotonic()
        elif self._done == min(_MEASURED, self.steps):
            measured = self._done - min(_WARM_UP, self.steps - 1)
            self.tell((time.monotonic() - self._start) / measured * self.steps)


def in_words(seconds: float) -> str:
    """ "40 seconds", "12 minutes", "5 hours", "2 days": about."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        if seconds >= 1.5 * size or unit == "second":
            count = max(1, round(seconds / size))
            return f"{count} {unit}{'' if count == 1 else 's'}"
    raise AssertionError
