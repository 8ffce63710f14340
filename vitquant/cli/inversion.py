"""The options that go with ``synthesize --inversion``."""

from typing import Annotated, Any

import typer


def _number(kind: type, what: str) -> Any:
    metavar = "N" if kind is int else "X"
    return Annotated[kind, typer.Option(metavar=metavar, help=f"With --inversion, {what}.")]


Iterations = _number(int, "iterations of Adam for each image")
LrCycles = _number(int, "how often the learning rate rises and falls")
Rate = _number(float, "Adam's learning rate")
MinCrop = _number(float, "the share of an image that is seen in the end")
CeWeight = _number(float, "weight of the cross-entropy to the class")
EntropyWeight = _number(float, "weight of varied patches")
TvWeight = _number(float, "weight of the total variation")
TvTarget = _number(float, "the total variation that is aimed at")

NAMES = (
    "iterations",
    "lr_cycles",
    "lr",
    "min_crop",
    "ce_weight",
    "entropy_weight",
    "tv_weight",
    "tv_target",
)
"""What the options are called as parameters."""
