"""Arguments and options that several subcommands share."""

import sys
from pathlib import Path
from typing import Annotated

import torch
import typer

from vitquant.errors import UserError
from vitquant.models.load import ACCEPTED

ModelName = Annotated[
    str, typer.Argument(metavar="MODEL", help=f"{ACCEPTED}; - reads it from stdin.")
]
Weights = Annotated[
    Path | None,
    typer.Option("--weights", metavar="FILE", help="Local safetensors file of the float weights."),
]
NumClasses = Annotated[
    int | None, typer.Option("--num-classes", metavar="N", help="Classes in --weights.")
]
Device = Annotated[
    str, typer.Option("--device", metavar="D", help="cpu, cuda, cuda:1, mps, or auto.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]


def name_or_stdin(name: str) -> str:
    """``name``, or the first line of stdin where it is ``-``.

    Raises:
        UserError: stdin holds nothing.
    """
    if name != "-":
        return name
    line = sys.stdin.readline().strip()
    if not line:
        raise UserError("MODEL: - reads a name or a path from stdin, and stdin is empty")
    return line


def device(name: str) -> str:
    """The torch device that ``--device`` names; auto is an accelerator if there is one.

    Raises:
        UserError: there is no such device here.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(
            f"--device: {name!r} cannot be used here; accepted: cpu, auto, or a torch device such "
            f"as cuda:0 where there is one"
        ) from error
    return name
