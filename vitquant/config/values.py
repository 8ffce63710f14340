"""Which values a setting accepts, and what one given in Python, TOML or a shell becomes."""

import os
import re
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

from vitquant.config.bits import Bits, parse_bits
from vitquant.config.bits.layer_bits import LayerBits, parse_layer_bits
from vitquant.core.errors import UserError


class Check(NamedTuple):
    """What a value has to be, and how a message says so after "is not"."""

    holds: Callable[[Any], bool]
    words: str


class When(NamedTuple):
    """Values of a setting with which another has an effect. words: what they have in common; empty
    for any value but none."""

    holds: Callable[[Any], bool] = bool
    words: str = ""

    def __contains__(self, value: object) -> bool:
        return self.holds(value)


class Patterns(tuple[str, ...]):
    """Names with ``*`` and ``?`` for what may stand there; in text, with commas between."""

    __slots__ = ()

    def __str__(self) -> str:
        return ",".join(self)


AT_LEAST_1 = Check(lambda x: x >= 1, "1 or more")
AT_LEAST_0 = Check(lambda x: x >= 0, "0 or more")
FRACTION = Check(lambda x: 0 <= x <= 1, "from 0 to 1")
NOT_NEGATIVE = Check(lambda x: 0 <= x < float("inf"), "0 or a positive number")
POSITIVE = Check(lambda x: 0 < x < float("inf"), "a positive number")
SEED = Check(lambda x: 0 <= x < 2**63, "from 0 to 2**63 - 1")

_WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Patterns: "a pattern, or several with commas between",
}


def cast(value: Any, kind: type, label: str, check: Check | None) -> Any:
    """``value`` as the type ``kind``, checked.

    Args:
        kind: bool, int, float, str, :class:`Patterns`, :class:`vitquant.config.bits.Bits` or
            :class:`LayerBits`; or another that has a class method ``parse(value, label)``.
        label: what messages call the setting.

    Raises:
        UserError: it is of another type, or the check does not hold.
    """
    if kind is Bits:
        return value if isinstance(value, Bits) else parse_bits(str(value), label)
    if kind is LayerBits:
        return parse_layer_bits(value, label)
    if (parse := getattr(kind, "parse", None)) is not None:
        return value if isinstance(value, kind) else parse(value, label)
    found = _patterns(value) if kind is Patterns else _converted(value, kind)
    if found is None:
        words = _WORDS[kind] + (f", {check.words}" if check else "")
        raise UserError(f"{label}: {value!r} is not {words}")
    if check and not check.holds(found):
        raise UserError(f"{label}: {found} is not {check.words}")
    return found


def _patterns(value: Any) -> Patterns | None:
    """Of text, or of a list of texts, each with commas or without; None where it is neither."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        return None
    parts = [part.strip() for text in texts for part in text.split(",")]
    return Patterns(parts) if parts and all(parts) else None


def _converted(value: Any, kind: type) -> Any:
    """``value`` as ``kind``, or None where it is of another type."""
    if isinstance(value, bool) or kind is bool:
        return value if isinstance(value, bool) and kind is bool else None
    if kind is int:
        return int(value) if isinstance(value, Integral) else None
    if kind is float:
        return float(value) if isinstance(value, Real) else None
    return os.fspath(value) if isinstance(value, str | os.PathLike) else None


HUB = "hf-hub:"
"""What precedes the name of a repository of the Hugging Face Hub."""
ALIASES = (
    "vit_tiny", "vit_small", "vit_base", "deit_tiny", "deit_small", "deit_base",
    "swin_tiny", "swin_small", "swin_base",
)  # fmt: skip
MINIATURES = ("vit_digits", "swin_digits")
PRECISIONS = ("auto", "float32", "bfloat16")
DEFAULT_GENERATOR = "stabilityai/sd-turbo"
MINIATURE_GENERATOR = "sd-digits"
MODEL = (
    f"an alias ({', '.join(ALIASES)}), a miniature ({', '.join(MINIATURES)}), a timm name, "
    f"{HUB}owner/name, torchvision:name, or the path of a checkpoint"
)
"""What is accepted where a model is named."""

InputSize = int | str | Sequence[int]
"""As a user gives it: one number for a square, ``"HxW"``, or (height, width), in pixels."""

_LARGEST_SIDE = 4096
INPUT_SIZE = f"N or HxW in pixels, such as 384 or 384x288, up to {_LARGEST_SIDE}"
INPUT_SIZE_HELP = (
    "Height and width of images in pixels, where they differ from the model's own; its positions "
    "are resampled"
)


def parse_input_size(value: InputSize) -> tuple[int, int] | None:
    """(height, width), or None if it is no size."""
    if isinstance(value, str):
        found = re.fullmatch(r"(\d{1,9})(?:x(\d{1,9}))?", value.strip().lower(), re.ASCII)
        sides = [int(side) for side in found.groups() if side] if found else []
    else:
        sides = [value] if isinstance(value, int) else list(value)
    whole = all(type(side) is int and 0 < side <= _LARGEST_SIDE for side in sides)
    return (sides[0], sides[-1]) if whole and len(sides) in (1, 2) else None


def format_input_size(height: int, width: int) -> str:
    """As ``--input-size`` takes it."""
    return str(height) if height == width else f"{height}x{width}"
