"""The program: its subcommands, and how each of them ends."""

import sys
from typing import Annotated

import huggingface_hub
import typer

import vitquant
from vitquant.cli.eval import eval_
from vitquant.cli.inspect import inspect
from vitquant.cli.quantize import quantize
from vitquant.errors import CheckFailedError, UserError

CHECK_FAILED, UNUSABLE, INTERRUPTED = 1, 2, 130

# typer brings its own copy of click in some releases and uses the package in others.
_UsageError = typer.BadParameter.__bases__[0]

app = typer.Typer(
    name="vitquant",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("quantize")(quantize)
app.command("eval")(eval_)
app.command("inspect")(inspect)


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
        command = typer.main.get_command(app)
        code = command(arguments or ["--help"], "vitquant", standalone_mode=False)
    except (UserError, CheckFailedError) as error:
        if "--debug" in arguments:
            raise
        _complain(str(error))
        return CHECK_FAILED if isinstance(error, CheckFailedError) else UNUSABLE
    except _UsageError as error:
        return _usage(error, arguments)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:
        _complain("interrupted; nothing was written")
    return code or 0


def _usage(error: Exception, arguments: list[str]) -> int:
    message = error.format_message()  # type: ignore[attr-defined]
    command = next((a for a in arguments if not a.startswith("-")), "")
    known = command if command in {c.name for c in app.registered_commands} else ""
    _complain(f"{' '.join(message.split())} (see: {' '.join(['vitquant', known]).strip()} --help)")
    return UNUSABLE


def _complain(message: str) -> None:
    print(f"vitquant: {message}", file=sys.stderr)
