"""What the subcommands that generate images share."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from vitquant.cli.console import Terminal
from vitquant.core import distributed
from vitquant.core.duration import OnEstimate, format_duration
from vitquant.core.errors import Interrupted, UserError
from vitquant.synthesis.diffusion.pipeline import DEFAULT, GENERATOR

GeneratorName = Annotated[
    str | None,
    typer.Option(
        "--generator",
        metavar="ID",
        help=f"One-step Stable Diffusion model: a name on the Hub or a folder; by default "
        f"{DEFAULT}, or {GENERATOR} for a miniature.",
    ),
]
Classes = Annotated[
    Path | None,
    typer.Option(
        "--classes",
        metavar="FILE",
        help="A class a line: some of the model's, or what its outputs are called if it does not "
        "say.",
    ),
]
PromptsPerClass = Annotated[
    int, typer.Option("--prompts-per-class", metavar="N", help="Learned prompts for each class.")
]
Precision = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="P",
        help="Of the generator: float32, bfloat16, or auto, which is bfloat16 on a GPU.",
    ),
]
Yes = Annotated[
    bool, typer.Option("--yes", help="Do not ask before work that takes more than an hour.")
]

_LONG = 3600.0


@contextmanager
def resumable() -> Iterator[None]:
    """Around work whose finished parts stay: tells that after Ctrl-C, or a no to a question.

    Raises:
        Interrupted: the work was interrupted.
    """
    try:
        yield
    except (KeyboardInterrupt, typer.Abort):
        raise Interrupted("interrupted; the same command goes on where this stopped") from None


def confirm_duration(yes: bool, terminal: Terminal, shorter: str) -> OnEstimate:
    """What is called with the seconds that a run takes, and asks whether that is meant.

    shorter: how to make it shorter, for the user.

    The returned function raises UserError where there is nobody to ask, and typer.Abort where the
    answer is no.
    """

    def on_estimate(seconds: float) -> None:
        terminal.say(f"this takes about {format_duration(seconds)}")
        if seconds <= _LONG or yes or not distributed.is_main():
            return
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise UserError(
                f"--yes: this takes about {format_duration(seconds)}, and there is no terminal to "
                f"ask at; --yes goes on where this stopped, {shorter} make it shorter"
            )
        typer.confirm(f"Go on? ({shorter} make it shorter)", default=True, abort=True, err=True)

    return on_estimate
