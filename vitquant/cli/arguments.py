"""Arguments and options that several commands share, and what they mean together."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from vitquant.cli.console import Terminal
from vitquant.config.values import INPUT_SIZE_HELP, MODEL
from vitquant.core.errors import UserError
from vitquant.core.files import check_name

ModelName = Annotated[str, typer.Argument(metavar="MODEL", help=f"{MODEL}; - reads it from stdin.")]
CheckpointName = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="A checkpoint that vitquant wrote, or hf-hub:OWNER/NAME of one; - reads it from "
        "stdin.",
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="FILE",
        help="Local safetensors file of the float weights, or a folder of shards.",
    ),
]
NumClasses = Annotated[
    int | None,
    typer.Option(
        "--num-classes", metavar="N", help="Classes in --weights; 0 leaves the classifier out."
    ),
]
InputSize = Annotated[
    str | None,
    typer.Option("--input-size", metavar="N|HxW", help=f"{INPUT_SIZE_HELP}."),
]
Device = Annotated[
    str, typer.Option("--device", metavar="D", help="cpu, cuda, cuda:1, mps, or auto.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]
Yes = Annotated[
    bool, typer.Option("--yes", help="Do not ask before work that takes more than an hour.")
]


class Command(typer.core.TyperCommand):
    """A command of which every text is looked at before it runs."""

    def invoke(self, ctx: Any) -> Any:
        """Raises UserError if a value is not UTF-8."""
        for parameter in self.params:
            value = ctx.params.get(parameter.name)
            for one in value if isinstance(value, list | tuple) else [value]:
                if isinstance(one, str | Path):
                    check_name(str(one), _label(parameter))
        return super().invoke(ctx)


def _label(parameter: Any) -> str:
    name: str = parameter.opts[0]
    return name if name.startswith("-") else str(parameter.metavar or name.upper())


# Seconds of work that nobody is asked about.
_LONG = 3600.0


def name_or_stdin(name: str) -> str:
    """``name``, or the first line of stdin where it is ``-``.

    Raises:
        UserError: stdin holds nothing.
    """
    if name != "-":
        return name
    from vitquant.core import distributed

    try:
        line = sys.stdin.readline().strip() if distributed.is_main() else ""
    except UnicodeDecodeError as error:
        raise UserError("MODEL: - reads a name or a path in UTF-8, and stdin is not") from error
    line = str(distributed.broadcast_object(line))
    if not line:
        raise UserError("MODEL: - reads a name or a path from stdin, and stdin is empty")
    check_name(line, "MODEL")
    return line


def confirmation(yes: bool, terminal: Terminal) -> Callable[[str], Callable[[float], None]]:
    """From how a run could be shorter, in words, to what is told how many seconds it will take.

    That asks whether a long run is meant. It raises UserError where there is nobody to ask, and
    KeyboardInterrupt where the answer is no.
    """

    def shorter_by(shorter: str) -> Callable[[float], None]:
        def on_estimate(seconds: float) -> None:
            _confirm(seconds, yes, terminal, shorter)

        return on_estimate

    return shorter_by


def _confirm(seconds: float, yes: bool, terminal: Terminal, shorter: str) -> None:
    from vitquant.core import distributed
    from vitquant.core.progress import format_duration

    terminal.say(f"this takes about {format_duration(seconds)}")
    if seconds <= _LONG or yes or not distributed.is_main():
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UserError(
            f"--yes: this takes about {format_duration(seconds)}, and there is no terminal to ask "
            f"at; "
            f"--yes goes on where this stopped, {shorter} make it shorter"
        )
    try:
        typer.confirm(f"Go on? ({shorter} make it shorter)", default=True, abort=True, err=True)
    except typer.Abort:
        raise KeyboardInterrupt from None
