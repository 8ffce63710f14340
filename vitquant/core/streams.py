"""Standard streams that cannot hold every character, or that nobody reads."""

import os
import sys
from collections.abc import Callable
from typing import NoReturn


def escape_streams() -> None:
    """From now on, what stdout and stderr cannot hold is escaped."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not what a test or a notebook puts there
            stream.reconfigure(errors="backslashreplace")


def can_hold(text: str) -> bool:
    """Whether stdout has all characters of ``text``."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def run_program(main: Callable[[list[str]], int]) -> NoReturn:
    """Run a program with the arguments of this process, and exit with its code.

    Where the reader of a pipe has gone, as ``head`` does, the code is 1.
    """
    try:
        code = main(sys.argv[1:])
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        # Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)
