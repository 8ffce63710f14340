"""Several processes behave as one program: one of them talks, and one names what went wrong."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

from vitquant.core import distributed

_ENDING = "ending"
# torchrun ends all processes once one has ended, also the one that is still talking.
_PATIENCE = 5.0


@contextmanager
def joined() -> Iterator[None]:
    """Connect the processes, if there are several; only the main one's prints are seen inside.

    Raises:
        PeerLostError: the others cannot be reached, now or later.
    """
    if distributed.is_main():
        distributed.init()
        yield
    else:
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            distributed.init()
            yield
    distributed.destroy()


@contextmanager
def last_words() -> Iterator[bool]:
    """Whether this process is the one to say why all of them end: the first that got here."""
    speaks = distributed.claim(_ENDING)
    if not speaks:
        distributed.wait_for(_ENDING, _PATIENCE)
    try:
        yield speaks
    finally:
        if speaks:
            distributed.signal(_ENDING)
