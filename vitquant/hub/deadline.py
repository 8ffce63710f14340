"""Calls of the Hub's client that are waited for until a deadline, and no longer.

The client sets no limit on most of its requests, tries again for half a minute, and waits for as
long as a server tells it to. A call therefore runs in a daemon thread, which neither its caller nor
the end of the program waits for.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# Where the client logs what it tries again. Its lines hold addresses that grant access, and come
# even after a call was given up.
_LOGGERS = ("huggingface_hub.utils._http", "huggingface_hub._commit_api", "huggingface_hub.hf_api")


class DeadlineError(TimeoutError):
    """No result within ``seconds``. status: of the last answer that :func:`note_answer` noted."""

    def __init__(self, seconds: float, status: int | None = None) -> None:
        super().__init__(f"no answer within {seconds:.0f} s")
        self.seconds = seconds
        self.status = status


class Deadline:
    """``seconds`` from now, for one call or for several in a row."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def run(self, call: Callable[[], T]) -> T:
        """What ``call`` returns or raises.

        Raises:
            DeadlineError: the deadline has passed. The call may go on in the background.
        """
        thread = _Call(call)
        left = self._end - time.monotonic()
        if left > 0:
            thread.start()
            thread.join(left)
        if left <= 0 or thread.is_alive():
            raise DeadlineError(self._seconds, thread.status)
        if thread.error is not None:
            raise thread.error
        return thread.value


class _Call(threading.Thread, Generic[T]):
    value: T

    def __init__(self, call: Callable[[], T]) -> None:
        super().__init__(daemon=True)
        self.error: Exception | None = None
        self.status: int | None = None
        self._call = call

    def run(self) -> None:
        try:
            self.value = self._call()
        except Exception as error:
            self.error = error


def note_answer(response: Any) -> None:
    """Note the HTTP status that a call was answered with; a hook for the client's responses."""
    thread = threading.current_thread()
    if isinstance(thread, _Call):
        thread.status = response.status_code


def _outside(record: logging.LogRecord) -> bool:
    """Whether a line is logged outside a call, and so for somebody else to read."""
    return not isinstance(threading.current_thread(), _Call)


for _name in _LOGGERS:
    logging.getLogger(_name).addFilter(_outside)
