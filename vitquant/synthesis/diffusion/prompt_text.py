"""Texts that ask for a picture of a class, and their tokens.

The forms are those of Li, Karmann, Urfalioglu (arXiv 2602.18861): "a <adjective> photo of
<adjective> <cls>", and plain "a photo of a <cls>". The adjectives are ours. Learned prompts start
from such texts, and are compared with them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor

from vitquant.core.errors import UserError

PHOTO_ADJECTIVES = ("bright", "dark", "blurry", "sharp", "faded", "grainy", "close", "clean")
OBJECT_ADJECTIVES = ("small", "large", "thin", "bold", "tilted", "wide", "narrow", "plain")

PLAIN = "a photo of a {}"
_WITH_ADJECTIVES = "a {} photo of a {} {{}}"


def plain_templates(count: int) -> list[str]:
    """The same text ``count`` times: only the noise tells the images apart."""
    return [PLAIN] * count


def adjective_templates(count: int) -> list[str]:
    """``count`` templates with different adjectives, as far as there are any; "{}" is the class."""
    pairs = list(product(PHOTO_ADJECTIVES, OBJECT_ADJECTIVES))
    # A step that shares no divisor with their number goes round all pairs, and neighbors differ in
    # both words.
    return [_WITH_ADJECTIVES.format(*pairs[i * 19 % len(pairs)]) for i in range(count)]


@dataclass(frozen=True)
class TextInput:
    """How a text becomes tokens of one text encoder.

    tokenizer: a fast one of transformers. length: tokens that the encoder reads; shorter texts are
    filled up. before: what stands in front of every text. lower: texts are in lower case.
    """

    tokenizer: Any
    length: int
    before: str = ""
    lower: bool = False


@dataclass(frozen=True)
class Prompt:
    """ids: (T,) int64, padded to each text encoder's length, one encoder's behind the other's.
    free: positions that may be learned: the text around the class name, whose own tokens stay, in
    the ids of the first encoder."""

    text: str
    ids: Tensor
    free: tuple[int, ...]


class PromptTokenizer:
    """A generator's tokenizers, applied to a template with a class name in it."""

    def __init__(self, inputs: Sequence[TextInput]) -> None:
        self._inputs = inputs

    def prompt(self, template: str, name: str) -> Prompt:
        """The template with the class's name in place of "{}".

        Raises:
            UserError: the name is too long for a text encoder, or the template has no place for
                it.
        """
        if template.count("{}") != 1:
            raise UserError(
                f'--text: {template!r} must have "{{}}" once, where the class name goes'
            )
        found = [_tokens(text_input, template, name) for text_input in self._inputs]
        ids = torch.tensor([number for row, _ in found for number in row])
        return Prompt(template.replace("{}", name), ids, found[0][1])


def _tokens(text_input: TextInput, template: str, name: str) -> tuple[list[int], tuple[int, ...]]:
    """The ids, and the positions of those of the text around the name."""
    before, after = template.split("{}")
    if text_input.lower:
        before, name, after = before.lower().lstrip(), name.lower(), after.lower().rstrip()
    begin = len(text_input.before)
    start = begin + len(before)
    end = start + len(name)
    tokens = text_input.tokenizer(
        text_input.before + before + name + after,
        padding="max_length",
        max_length=text_input.length,
        return_offsets_mapping=True,
    )
    if len(tokens.input_ids) > text_input.length:
        raise UserError(
            f"MODEL: its class {name!r} takes {len(tokens.input_ids)} tokens with its text, and "
            f"the generator reads {text_input.length}; a shorter name or text is accepted"
        )
    free = tuple(
        place
        for place, (first, last) in enumerate(tokens.offset_mapping)
        # Of special tokens first and last are the same.
        if first < last and last > begin and (last <= start or first >= end)
    )
    return tokens.input_ids, free
