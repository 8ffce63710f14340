"""Bits that are chosen for each layer: under which budget, and from which widths."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

from vitquant.config.bits import WEIGHT_BITS, Bits
from vitquant.config.declare import UsedBy, setting
from vitquant.config.setting import Settings
from vitquant.config.values import AT_LEAST_0, AT_LEAST_1, FRACTION, When
from vitquant.core.errors import UserError

_UNITS = {
    "": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9,
    "kib": 2**10, "mib": 2**20, "gib": 2**30,
}  # fmt: skip
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.IGNORECASE | re.ASCII)
_WIDTH = re.compile(r"([wa])(\d+(?:\.\d+)?)", re.IGNORECASE | re.ASCII)
_ACTIVATIONS = tuple(range(2, 9))
_WEIGHTS = (1.58, 2, 3, 4, 6, 8)


class Size(int):
    """Bytes. In text with a unit, such as ``3MB``, ``2.5MiB`` or ``300kB``."""

    def __str__(self) -> str:
        unit, size = ("MB", 10**6) if self >= 10**6 else ("kB", 10**3)
        return f"{int(self) / size:.12g}{unit}"

    @classmethod
    def parse(cls, value: Any, label: str) -> Self:
        """Of a whole number of bytes, or of text.

        Raises:
            UserError: it is neither.
        """
        is_number = isinstance(value, int | str) and not isinstance(value, bool)
        match = _SIZE.fullmatch(str(value).strip()) if is_number else None
        unit = None if match is None else _UNITS.get(match[2].lower())
        if match is None or unit is None or not (size := int(float(match[1]) * unit)):
            raise UserError(
                f"{label}: {value!r} is not a size; bytes, or a number with kB, MB, GB, KiB, MiB "
                f"or GiB, such as 3MB, are accepted"
            )
        return cls(size)


@dataclass(frozen=True)
class Choices:
    """Widths that may be chosen, of weights and of activations, from few bits to many."""

    weights: tuple[float, ...]
    activations: tuple[int, ...]

    def __str__(self) -> str:
        return ",".join([*(f"w{b:g}" for b in self.weights), *(f"a{b}" for b in self.activations)])

    @property
    def bits(self) -> list[Bits]:
        """Every combination."""
        return [Bits(w, a) for w, a in product(self.weights, self.activations)]

    @property
    def middle(self) -> Bits:
        """What stands for all of them where one width decides about defaults."""
        return Bits(self.weights[len(self.weights) // 2], self.activations[-1])

    @classmethod
    def parse(cls, value: Any, label: str) -> Self:
        """Of text such as ``w2,w4,w8,a8``; without one of the kinds, its defaults.

        Raises:
            UserError: a width is not supported, or there twice.
        """
        weights = ", ".join(f"w{b:g}" for b in WEIGHT_BITS)
        accepted = f"{weights} and a2 to a8 are accepted, with commas between"
        found: dict[str, list[float]] = {"w": [], "a": []}
        for part in str(value).split(","):
            match = _WIDTH.fullmatch(part.strip())
            kind, width = ("", 0.0) if match is None else (match[1].lower(), float(match[2]))
            if width not in {"w": WEIGHT_BITS, "a": _ACTIVATIONS}.get(kind, ()):
                raise UserError(f"{label}: {part.strip()!r} is not a width; {accepted}")
            if width in found[kind]:
                raise UserError(f"{label}: {part.strip()} is there twice; once is accepted")
            found[kind].append(width if width % 1 else int(width))
        chosen, activations = found["w"] or _WEIGHTS, found["a"] or (8,)
        return cls(tuple(sorted(chosen)), tuple(sorted(int(a) for a in activations)))


BUDGETS = ("max_size", "min_agreement")
_BUDGET: UsedBy = {name: When(lambda value: value is not None) for name in BUDGETS}


class Budget(Settings):
    """Bits under a budget"""

    used_by = _BUDGET

    max_size: Size | None = setting(
        None,
        "In place of --bits: choose the bits of each layer for the least loss in a file of at most "
        "so many bytes.",
        metavar="3MB",
        used_by={},
    )
    min_agreement: float | None = setting(
        None,
        "In place of --bits: choose the bits of each layer for the smallest file whose top-1 "
        "prediction, before any training, is the float model's on this fraction of calibration "
        "images.",
        FRACTION,
        used_by={},
    )
    choices: Choices = setting(
        Choices(_WEIGHTS, (8,)),
        "Widths of weights and activations that are chosen from, with commas.",
        metavar="W2,W4,A8",
    )
    mean_activation_bits: float | None = setting(
        None,
        "The most bits of activations on the mean of all values, where --choices has several "
        "widths: no file is smaller for fewer.",
    )
    budget_of: str = setting(
        "checkpoint",
        "The file whose bytes are counted: the checkpoint, or the exported ONNX file.",
        metavar="NAME",
        choices=("checkpoint", "onnx"),
    )
    sensitivity_images: int = setting(
        32, "Calibration images that losses are measured on.", AT_LEAST_1
    )
    refine: int = setting(
        2,
        "Rounds in which the whole choice is measured and changed; 0 adds up what single layers "
        "lose.",
        AT_LEAST_0,
    )

    @property
    def has_budget(self) -> bool:
        """Whether bits are chosen."""
        return any(getattr(self, name) is not None for name in BUDGETS)


def check_budget(settings: Budget, labels: Mapping[str, str]) -> None:
    """Raise a UserError where settings of a budget contradict each other or ``--bits``.

    labels: what was given, by name, with what messages call it.
    """
    if not settings.has_budget:
        return
    size, agreement = (labels.get(name) for name in BUDGETS)
    if size and agreement:
        raise UserError(f"{agreement}: cannot be combined with {size}; one of them is accepted")
    if "bits" in labels:
        raise UserError(
            f"{labels['bits']}: with {size or agreement} bits are chosen from "
            f"{settings.naming.option('choices')}; leave one of them out"
        )
    mean, activations = settings.mean_activation_bits, settings.choices.activations
    if mean is None:
        return
    label = labels["mean_activation_bits"]
    if len(activations) == 1:
        raise UserError(
            f"{label}: {settings.choices} has one width of activations; add others to "
            f"{settings.naming.option('choices')}, or leave it out"
        )
    if not activations[0] <= mean < activations[-1]:
        raise UserError(
            f"{label}: {mean:g} is not {activations[0]} or more and less than {activations[-1]}, "
            f"the widths of activations in {settings.naming.option('choices')}"
        )
