"""Arguments and options that several subcommands share."""

import sys
from pathlib import Path
from typing import Annotated

import torch
import typer

from vitquant.core import distributed
from vitquant.core.errors import UserError
from vitquant.models.sources import ACCEPTED

ModelName = Annotated[
    str, typer.Argument(metavar="MODEL", help=f"{ACCEPTED}; - reads it from stdin.")
]
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
    line = distributed.broadcast_object(
        sys.stdin.readline().strip() if distributed.is_main() else ""
    )
    if not line:
        raise UserError("MODEL: - reads a name or a path from stdin, and stdin is empty")
    return line


def device(name: str) -> str:
    """The torch device that ``--device`` names; auto is an accelerator if there is one.

    Each of several processes on a machine gets a GPU of its own.

    Raises:
        UserError: there is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if distributed.world_size() > 1:
        return _device_of_this_process(name)
    return _checked(name)


def place(device: str) -> str:
    """Where the work is done, in words."""
    if distributed.world_size() == 1:
        return device
    return f"{distributed.world_size()} processes, each on {device.partition(':')[0]}"


def _device_of_this_process(name: str) -> str:
    if name not in ("cpu", "cuda"):
        raise UserError(
            f"--device: {name!r} cannot be divided between processes; accepted: cpu, or cuda for "
            f"a GPU for each of them"
        )
    if name == "cpu":
        return name
    if not distributed.local_rank() < torch.cuda.device_count():
        raise UserError(
            f"--device: each process needs a GPU of its own, and there are "
            f"{torch.cuda.device_count()}; start as many with torchrun, or say --device cpu"
        )
    name = _checked(f"cuda:{distributed.local_rank()}")
    torch.cuda.set_device(name)
    return name


def _checked(name: str) -> str:
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(
            f"--device: {name!r} cannot be used here; accepted: cpu, auto, or a torch device such "
            f"as cuda:0 where there is one"
        ) from error
    return name
