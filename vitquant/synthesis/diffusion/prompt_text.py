"""A text as tokens, of which those around the class name may be learned."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vitquant.errors import UserError

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

from itertools import product


@dataclass(frozen=True)
class Prompt:
    """ids: (T,) int64, padded to the text encoder's length. free: positions that may be learned:
    the text around the class name, whose own tokens stay."""

    text: str
    ids: Tensor
    free: tuple[int, ...]


class Words:
    """What a generator's tokenizer makes of a text."""

    def __init__(self, tokenizer: "CLIPTokenizer") -> None:
        self._tokenizer = tokenizer

    def prompt(self, template: str, phrase: str) -> Prompt:
        """The template with the class's name in place of "{}".

        Raises:
            UserError: the name is too long for the text encoder, or the template has no place for
                it.
        """
        if template.count("{}") != 1:
            raise UserError(
                f'--template: {template!r} must have "{{}}" once, where the class name goes'
            )
        parts = template.split("{}")
        before, name, after = (self._tokens(text) for text in (parts[0], phrase, parts[1]))
        length, used = self._tokenizer.model_max_length, len(before) + len(name) + len(after) + 2
        if used > length:
            raise UserError(
                f"--classes: {phrase!r} takes {used} tokens with its text, and the generator reads "
                f"{length}; a shorter name or template is accepted"
            )
        tokenizer = self._tokenizer
        ids = [tokenizer.bos_token_id, *before, *name, *after, tokenizer.eos_token_id]
        ids += [tokenizer.pad_token_id] * (length - used)
        start = 1 + len(before) + len(name)
        free = (*range(1, 1 + len(before)), *range(start, start + len(after)))
        return Prompt(template.format(phrase), torch.tensor(ids), free)

    def _tokens(self, text: str) -> list[int]:
        return self._tokenizer(text.strip(), add_special_tokens=False).input_ids


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
