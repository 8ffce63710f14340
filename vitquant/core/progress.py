"""How long-running work reports what it is doing, and how long it will take."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """A listener. The command line's writes to stderr."""

    def say(self, message: str) -> None:
        """One line of information."""

    def warn(self, message: str) -> None:
        """One line about something the user should know."""

    def track(self, items: Iterable[T], total: int, what: str) -> Iterator[T]:
        """Hand on ``items`` while showing how far along they are and how long is left."""

    def status(self, text: str) -> None:
        """A short figure to show beside the bar of the running ``track``."""


class Silent:
    """Nobody listens."""

    def say(self, message: str) -> None:
        pass

    def warn(self, message: str) -> None:
        pass

    def track(self, items: Iterable[T], total: int, what: str) -> Iterator[T]:
        yield from items

    def status(self, text: str) -> None:
        pass


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
