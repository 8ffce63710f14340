"""Where the installed script begins: before the slow imports, so that Ctrl-C is always heard."""

import os
import signal
import sys
from types import FrameType

from vitquant.core.streams import run_program

_interrupted = False
# With torchrun, each of several processes gets here.
_torchrun = "TORCHELASTIC_RUN_ID" in os.environ


def _hear(number: int, frame: FrameType | None) -> None:
    global _interrupted
    _interrupted = True
    if _torchrun:
        # It passes on what the terminal has sent already.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def run() -> None:
    """Run the program and exit with its code."""
    signal.signal(signal.SIGINT, _hear)
    try:
        from vitquant.cli.main import main

        run_program(main)
    except SystemExit as end:
        if _torchrun and isinstance(end.code, int):
            # Threads of the process group may still run, and on a busy machine the end of the
            # interpreter then is an abort.
            sys.stderr.flush()
            os._exit(end.code)
        raise
    except (KeyboardInterrupt, Exception):
        # Some libraries turn an interrupted import into an error of their own.
        if not _interrupted:
            raise
        if not _torchrun or os.environ.get("RANK") == "0":
            print("vitquant: interrupted; nothing was written", file=sys.stderr)
        sys.exit(130)
