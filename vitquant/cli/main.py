"""The program: its subcommands, and how each of them ends."""

import sys
import traceback
from typing import Annotated

import huggingface_hub
import typer

import vitquant
from vitquant.cli import together
from vitquant.cli.eval import eval_
from vitquant.cli.export import export
from vitquant.cli.inspect import inspect
from vitquant.cli.learn_prompts import learn_prompts
from vitquant.cli.quantize import quantize
from vitquant.cli.synthesize import synthesize
from vitquant.core import distributed
from vitquant.core.distributed import PeerLostError
from vitquant.core.errors import CheckFailedError, Interrupted, UserError

CHECK_FAILED, LOST, UNUSABLE, INTERRUPTED = 1, 1, 2, 130
_EXPECTED = (UserError, CheckFailedError, PeerLostError, Interrupted)

# typer brings its own copy of click in some releases and uses the package in others.
_UsageError = typer.BadParameter.__bases__[0]

app = typer.Typer(
    name="vitquant",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("learn-prompts")(learn_prompts)
app.command("synthesize")(synthesize)
app.command("quantize")(quantize)
app.command("eval")(eval_)
app.command("inspect")(inspect)
app.command("export")(export)


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
    # The client's own account of every attempt is of no use beside our one line.
    huggingface_hub.logging.set_verbosity_error()
    try:
        with together.joined():
            command = typer.main.get_command(app)
            code = command(arguments or ["--help"], "vitquant", standalone_mode=False)
            if code == INTERRUPTED:  # typer has heard Ctrl-C and says no more than that
                raise KeyboardInterrupt
    except _EXPECTED as error:
        if "--debug" in arguments:
            return _unhandled(error)
        kinds = {CheckFailedError: CHECK_FAILED, PeerLostError: LOST, Interrupted: INTERRUPTED}
        return _end(str(error), kinds.get(type(error), UNUSABLE))
    except _UsageError as error:
        return _end(_usage(error, arguments), UNUSABLE)
    except (KeyboardInterrupt, typer.Abort):
        return _end("interrupted; nothing was written", INTERRUPTED)
    except Exception as error:
        return _unhandled(error)
    return code or 0


def _usage(error: Exception, arguments: list[str]) -> str:
    message = error.format_message()  # type: ignore[attr-defined]
    command = next((a for a in arguments if not a.startswith("-")), "")
    known = command if command in {c.name for c in app.registered_commands} else ""
    return f"{' '.join(message.split())} (see: {' '.join(['vitquant', known]).strip()} --help)"


def _end(message: str, code: int) -> int:
    with together.last_words() as speaks:
        if speaks:
            print(f"vitquant: {message}", file=sys.stderr, flush=True)
    return code


def _unhandled(error: Exception) -> int:
    """Show the traceback; of one process, where there are several."""
    if distributed.world_size() == 1 or isinstance(error, BrokenPipeError):
        raise error
    return _end("".join(traceback.format_exception(error)), 1)
