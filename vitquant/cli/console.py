"""Where output goes: results to stdout, everything else to stderr."""

import json
import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from vitquant.core.errors import VitquantWarning
from vitquant.core.streams import can_hold

if TYPE_CHECKING:
    from rich.table import Table

T = TypeVar("T")

# Where there is no terminal to draw a bar on: a line each fifth of the way, and each minute.
_LINES = 5
_SILENCE = 60.0
# Columns of a table in a file or a pipe, where there is no edge to fit.
_WIDE = 160


class Terminal:
    """A ``Progress`` on stderr: bars on a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        from rich.console import Console  # a tenth of a second, which refused options do without

        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        if not self.console.is_terminal:
            self.console.width = _WIDE
        self._status = ""

    def say(self, message: str) -> None:
        self.console.print(message, markup=False)

    def warn(self, message: str) -> None:
        self.console.print(f"warning: {message}", markup=False, style="yellow")

    def status(self, text: str) -> None:
        self._status = text

    def table(self, table: "Table") -> None:
        self.console.print(table)

    def track(self, items: Iterable[T], total: int, what: str) -> Iterator[T]:
        self._status = ""
        if self.console.is_terminal:
            yield from self._bar(items, total, what)
        else:
            yield from self._lines(items, total, what)

    def _bar(self, items: Iterable[T], total: int, what: str) -> Iterator[T]:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[status]}"),
        )
        with Progress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task(what, total=total, status="")
            for item in items:
                yield item
                bar.update(task, advance=1, status=self._status)

    def _lines(self, items: Iterable[T], total: int, what: str) -> Iterator[T]:
        start = last = time.monotonic()
        told = 0
        for done, item in enumerate(items, 1):
            yield item
            now = time.monotonic()
            fifths = done * _LINES // total
            if now - last > _SILENCE or (fifths > told and now - start > 2):
                told, last = fifths, now
                left = (now - start) / done * (total - done)
                status = f", {self._status}" if self._status else ""
                self.say(f"{what}: {done}/{total}, {now - start:.0f} s, {left:.0f} s left{status}")


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Show a :class:`VitquantWarning` as :class:`Terminal` does, each time, without its place."""
    others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, VitquantWarning):
            Terminal().warn(str(message))
        else:
            others(message, category, *where, **more)

    with warnings.catch_warnings():
        warnings.simplefilter("always", VitquantWarning)
        warnings.showwarning = show
        yield


def result_table(table: "Table") -> None:
    """A table that is itself the result; never cut to a terminal's width in a pipe."""
    from rich.console import Console

    console = Console(highlight=False)
    Console(width=None if console.is_terminal else _WIDE, highlight=False).print(table)


def result(text: str) -> None:
    """The one thing that a pipeline reads."""
    print(text, file=sys.stdout, flush=True)


def result_json(value: dict[str, Any]) -> None:
    text = json.dumps(value, ensure_ascii=False)
    # Escaped as JSON does it: other escapes would be no JSON.
    result(text if can_hold(text) else json.dumps(value))
