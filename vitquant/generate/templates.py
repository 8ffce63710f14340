"""Texts that ask for a picture of a class: where learned prompts start, and their baseline.

The forms are those of Li, Karmann, Urfalioglu (arXiv 2602.18861): "a <adjective> photo of
<adjective> <cls>", and plain "a photo of a <cls>". The adjectives are ours.
"""

from itertools import product

PHOTO_ADJECTIVES = ("bright", "dark", "blurry", "sharp", "faded", "grainy", "close", "clean")
OBJECT_ADJECTIVES = ("small", "large", "thin", "bold", "tilted", "wide", "narrow", "plain")

PLAIN = "a photo of a {}"
_DESCRIBED = "a {} photo of a {} {{}}"


def plain(count: int) -> list[str]:
    """The same text ``count`` times: only the noise tells the images apart."""
    return [PLAIN] * count


def described(count: int) -> list[str]:
    """``count`` templates with different adjectives, as far as there are any; "{}" is the class."""
    pairs = list(product(PHOTO_ADJECTIVES, OBJECT_ADJECTIVES))
    # A step that shares no divisor with their number goes round all pairs, and neighbours differ
    # in both words.
    return [_DESCRIBED.format(*pairs[i * 19 % len(pairs)]) for i in range(count)]
