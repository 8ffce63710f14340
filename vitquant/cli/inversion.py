"""The options that go with ``synthesize --inversion``."""

from typing import Annotated, Any

import typer


def _number(kind: type, what: str) -> Any:
    metavar = "N" if kind is int else "X"
    return Annotated[kind, typer.Option(metavar=metavar, help=f"With --inversion, {what}.")]


Iterations = _number(int, "iterations of Adam for each image")
Rounds = _number(int, "how often the learning rate rises and falls")
Rate = _number(float, "Adam's learning rate")
SmallestCrop = _number(float, "the share of an image that is seen in the end")
ClassWeight = _number(float, "weight of showing the class")
EntropyWeight = _number(float, "weight of varied patches")
VariationWeight = _number(float, "weight of the total variation")
Variation = _number(float, "the total variation that is aimed at")

NAMES = (
    "iterations",
    "rounds",
    "lr",
    "smallest_crop",
    "class_weight",
    "entropy_weight",
    "variation_weight",
    "variation",
)
"""What the options are called as parameters."""
