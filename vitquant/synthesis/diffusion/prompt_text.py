"""Texts that ask for a picture of a class, and their tokens.

The forms are those of Li, Karmann, Urfalioglu (arXiv 2602.18861): "a <adjective> photo of
<adjective> <cls>", and plain "a photo of a <cls>". The adjectives are ours. Learned prompts start
from such texts, and are compared with them.
"""

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vitquant.core.errors import UserError

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

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
class Prompt:
    """ids: (T,) int64, padded to the text encoder's length. free: positions that may be learned:
    the text around the class name, whose own tokens stay."""

    text: str
    ids: Tensor
    free: tuple[int, ...]


class PromptTokenizer:
    """A generator's tokenizer, applied to a template with a class name in it."""

    def __init__(self, tokenizer: "CLIPTokenizer") -> None:
        self._tokenizer = tokenizer

    def prompt(self, template: str, name: str) -> Prompt:
        """The template with the class's name in place of "{}".

        Raises:
            UserError: the name is too long for the text encoder, or the template has no place for
                it.
        """
        if template.count("{}") != 1:
            raise UserError(
                f'--text: {template!r} must have "{{}}" once, where the class name goes'
            )
        parts = template.split("{}")
        before, middle, after = (self._tokens(text) for text in (parts[0], name, parts[1]))
        length, used = self._tokenizer.model_max_length, len(before) + len(middle) + len(after) + 2
        if used > length:
            raise UserError(
                f"MODEL: its class {name!r} takes {used} tokens with its text, and the generator "
                f"reads {length}; a shorter name or text is accepted"
            )
        tokenizer = self._tokenizer
        ids = [tokenizer.bos_token_id, *before, *middle, *after, tokenizer.eos_token_id]
        ids += [tokenizer.pad_token_id] * (length - used)
        start = 1 + len(before) + len(middle)
        free = (*range(1, 1 + len(before)), *range(start, start + len(after)))
        return Prompt(template.format(name), torch.tensor(ids), free)

    def _tokens(self, text: str) -> list[int]:
        return self._tokenizer(text.strip(), add_special_tokens=False).input_ids
