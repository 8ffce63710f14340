"""How long-running work tells what it is doing, without knowing who listens."""

from collections.abc import Iterable, Iterator
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
