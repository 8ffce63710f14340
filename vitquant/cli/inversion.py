"""The options that go with ``synthesize --inversion``."""

from dataclasses import fields
from typing import Annotated, Any

import typer

from vitquant.errors import UserError
from vitquant.generate.inversion.settings import InversionSettings

_USUAL = InversionSettings()


def _number(kind: type, name: str, what: str) -> Any:
    usual = getattr(_USUAL, name)
    text = f"With --inversion, {what}; by default {usual}."
    return Annotated[kind | None, typer.Option(metavar="N" if kind is int else "X", help=text)]


Iterations = _number(int, "iterations", "iterations of Adam for each image")
Rounds = _number(int, "rounds", "how often the learning rate rises and falls")
Rate = _number(float, "lr", "Adam's learning rate")
SmallestCrop = _number(float, "smallest_crop", "the share of an image that is seen in the end")
ClassWeight = _number(float, "class_weight", "weight of showing the class")
EntropyWeight = _number(float, "entropy_weight", "weight of varied patches")
VariationWeight = _number(float, "variation_weight", "weight of the total variation")
Variation = _number(float, "variation", "the total variation that is aimed at")


def chosen(given: dict[str, Any]) -> InversionSettings:
    """Settings of what was ``given``, by name; None is for the default.

    Raises:
        UserError: a value is not accepted.
    """
    return InversionSettings(**{name: v for name, v in given.items() if v is not None})


def refuse_without(given: dict[str, Any]) -> None:
    """Raise a UserError if something is given that goes with --inversion alone."""
    for name in (field.name for field in fields(InversionSettings)):
        if given.get(name) is not None:
            flag = name.replace("_", "-")
            raise UserError(f"--{flag}: it says how images are inverted; add --inversion")
