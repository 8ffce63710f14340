"""The program: its commands, and how each of them ends. Nothing slow is imported here."""

import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Annotated

import typer

import vitquant
from vitquant.cli import arguments as shared
from vitquant.cli.bench import bench
from vitquant.cli.console import one_line_warnings
from vitquant.cli.evaluate import evaluate
from vitquant.cli.export import export
from vitquant.cli.inspect import inspect
from vitquant.cli.pages.analyze import analyze
from vitquant.cli.pages.report import report
from vitquant.cli.quantize import quantize
from vitquant.cli.synthesize import learn_prompts, synthesize
from vitquant.core.errors import CheckFailedError, Interrupted, PeerLostError, UserError
from vitquant.core.streams import escape_streams

CHECK_FAILED, LOST, UNUSABLE, INTERRUPTED = 1, 1, 2, 130
_EXPECTED = (UserError, CheckFailedError, PeerLostError, Interrupted)
# Columns of help in a file or a pipe, where there is no edge to fit: no name is cut.
_WIDE = "140"
_ENDING = "ending"
# torchrun ends all processes once one has ended, also the one that is still talking.
_PATIENCE = 5.0

app = typer.Typer(name="vitquant", pretty_exceptions_enable=False)
for _name, _function in {
    "quantize": quantize,
    "eval": evaluate,
    "export": export,
    "inspect": inspect,
    "analyze": analyze,
    "report": report,
    "bench": bench,
    "synthesize": synthesize,
    "learn-prompts": learn_prompts,
}.items():
    app.command(_name, cls=shared.Command)(_function)


def _version(wanted: bool) -> None:
    if wanted:
        print(vitquant.__version__)
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Turn a pretrained vision transformer into a low-bit one, without labels."""


def main(arguments: list[str]) -> int:
    """Run the program; returns its exit code."""
    escape_streams()
    # The Hub's client has an account of its own for every attempt: no use beside our one line.
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    # Pillow warns of large images and of damaged EXIF data, which it reads all the same.
    warnings.filterwarnings("ignore", module="PIL")
    if not sys.stdout.isatty():
        os.environ.setdefault("TERMINAL_WIDTH", _WIDE)
    try:
        with process_group(), one_line_warnings():
            command = typer.main.get_command(app)
            code = command(arguments or ["--help"], "vitquant", standalone_mode=False)
            if code == INTERRUPTED:  # typer has heard Ctrl-C and says no more than that
                raise KeyboardInterrupt
    except _EXPECTED as error:
        if "--debug" in arguments:
            return _unhandled(error)
        kinds = {CheckFailedError: CHECK_FAILED, PeerLostError: LOST, Interrupted: INTERRUPTED}
        return _end(str(error), kinds.get(type(error), UNUSABLE))
    except (KeyboardInterrupt, typer.Abort):
        return _end("interrupted; nothing was written", INTERRUPTED)
    except Exception as error:
        # typer brings its own copy of click in some releases and uses the package in others.
        if hasattr(error, "format_message"):
            return _end(_usage(error.format_message(), arguments), UNUSABLE)
        return _unhandled(error)
    return code or 0


@contextmanager
def process_group() -> Iterator[None]:
    """Connect the processes, if there are several; only the main one's prints are seen inside.

    Raises:
        PeerLostError: the others cannot be reached, now or later.
    """
    if not _has_peers():
        yield
        return
    from vitquant.core import distributed

    if distributed.is_main():
        distributed.init()
        yield
    else:
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            distributed.init()
            yield
    distributed.destroy()


@contextmanager
def one_speaker() -> Iterator[bool]:
    """Whether this process is the one to say why all of them end: the first that got here."""
    if not _has_peers():
        yield True
        return
    from vitquant.core import distributed

    speaks = distributed.claim(_ENDING)
    if not speaks:
        distributed.wait_for(_ENDING, _PATIENCE)
    try:
        yield speaks
    finally:
        if speaks:
            distributed.signal(_ENDING)


def _has_peers() -> bool:
    """Whether torchrun started this process beside others: known before torch is imported."""
    return "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1"


def _usage(message: str, arguments: list[str]) -> str:
    command = next((a for a in arguments if not a.startswith("-")), "")
    known = command if command in {c.name for c in app.registered_commands} else ""
    return f"{' '.join(message.split())} (see: {' '.join(['vitquant', known]).strip()} --help)"


def _end(message: str, code: int) -> int:
    with one_speaker() as speaks:
        if speaks:
            print(f"vitquant: {message}", file=sys.stderr, flush=True)
    return code


def _unhandled(error: BaseException) -> int:
    """Show the traceback; of one process, where there are several."""
    if not _has_peers() or isinstance(error, BrokenPipeError):
        raise error
    return _end("".join(traceback.format_exception(error)), 1)
