"""The texts that the miniature generator learns, and the adjectives in each."""

from __future__ import annotations

import random
from itertools import product
from typing import NamedTuple

from vitquant.data.sources.digits import CLASS_NAMES
from vitquant.generate.templates import OBJECT_ADJECTIVES, PHOTO_ADJECTIVES

_ADJECTIVE_SHARE = 0.7


class Caption(NamedTuple):
    """A text, the class it asks for, and the adjectives in it."""

    text: str
    label: int
    words: tuple[str, ...]


def caption(label: int, photo: str = "", thing: str = "", digit: bool = False) -> Caption:
    """A text like "a [photo] photo of a [thing] three".

    With `digit` it is "a [photo] photo of the [thing] digit three".
    """
    article, noun = ("the", f"digit {CLASS_NAMES[label]}") if digit else ("a", CLASS_NAMES[label])
    parts = ("a", photo, "photo of", article, thing, noun)
    words = tuple(word for word in (photo, thing) if word)
    return Caption(" ".join(part for part in parts if part), label, words)


def all_captions() -> list[Caption]:
    """Every text that `draw_captions` may give, in a fixed order."""
    photos, things = ("", *PHOTO_ADJECTIVES), ("", *OBJECT_ADJECTIVES)
    labels = range(len(CLASS_NAMES))
    return [caption(*choice) for choice in product(labels, photos, things, (False, True))]


def draw_captions(chance: random.Random) -> list[Caption]:
    """A random caption of each class."""
    return [
        caption(
            label,
            _perhaps(PHOTO_ADJECTIVES, chance),
            _perhaps(OBJECT_ADJECTIVES, chance),
            chance.random() < 0.5,
        )
        for label in range(len(CLASS_NAMES))
    ]


def _perhaps(adjectives: tuple[str, ...], chance: random.Random) -> str:
    return chance.choice(adjectives) if chance.random() < _ADJECTIVE_SHARE else ""
