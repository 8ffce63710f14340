"""A function in a process of its own, which may crash or hang without harm to others."""

import multiprocessing
import resource
import signal
from collections.abc import Callable
from typing import Any

# A computer that does much else at a time takes longer than it computes.
_WAIT = 10


def run_apart(function: Callable[..., None], *arguments: Any, seconds: int) -> str:
    """Call a function of a module; what it was stopped by, empty if it came to its end.

    seconds: what it may compute, of one core; and ten times as long it may take.
    """
    # What takes long to import is imported once, by a process that the others are forked from.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([function.__module__])
    process = context.Process(target=_limited, args=(seconds, function, *arguments))
    process.start()
    process.join(_WAIT * seconds)
    if process.is_alive():
        process.kill()
        process.join()
        return f"stopped after {_WAIT * seconds} seconds"
    code = process.exitcode or 0
    if code == -signal.SIGXCPU:
        return f"stopped after {seconds} seconds of computing"
    if code < 0:
        return f"crashed with signal {-code}"
    return f"ended with code {code}" if code else ""


def _limited(seconds: int, function: Callable[..., None], *arguments: Any) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    function(*arguments)
