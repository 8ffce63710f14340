"""The tokenizer of the miniature generator: CLIP's kind, with a vocabulary of its own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from tokenizers import pre_tokenizers

LENGTH = 24
_START, _END = "<|startoftext|>", "<|endoftext|>"
_WORD_ENDS = "</w>"


def write_tokenizer(texts: Iterable[str], folder: Path) -> None:
    """Write a tokenizer, to which each word of `texts` is one token, for `CLIPTokenizer` to read.

    Other words fall apart into letters, and other signs into bytes, so that any text can be read.
    """
    merges = _merges(Counter(word for text in texts for word in text.split()))
    signs = sorted(pre_tokenizers.ByteLevel.alphabet())
    # CLIP's order: bytes, bytes at the end of a word, what merges make of them, the special ones.
    tokens = [*signs, *(sign + _WORD_ENDS for sign in signs)]
    tokens += [left + right for left, right in merges] + [_START, _END]
    special = {"bos_token": _START, "eos_token": _END, "unk_token": _END, "pad_token": _END}
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": LENGTH,
        "do_lower_case": True,
        "add_prefix_space": False,
        "errors": "replace",
    }
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "vocab.json", {token: number for number, token in enumerate(tokens)})
    _write_json(folder / "special_tokens_map.json", special)
    _write_json(folder / "tokenizer_config.json", config | special)
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _merges(words: Counter[str]) -> list[tuple[str, str]]:
    """The pairs that byte pair encoding joins, the most frequent first, until words are whole.

    Of the equally frequent, the first in the alphabet. The trainer of `tokenizers` takes any of
    them, so that no two runs would number the tokens alike.
    """
    split = {word: [*word[:-1], word[-1] + _WORD_ENDS] for word in words}
    merges = []
    while pairs := _pairs(split, words):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        split = {word: _joined(pieces, best) for word, pieces in split.items()}
    return merges


def _pairs(split: dict[str, list[str]], words: Counter[str]) -> Counter[tuple[str, str]]:
    """How often each two pieces stand side by side."""
    found: Counter[tuple[str, str]] = Counter()
    for word, pieces in split.items():
        for pair in pairwise(pieces):
            found[pair] += words[word]
    return found


def _joined(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    """The pieces with each occurrence of the pair as one."""
    result: list[str] = []
    for piece in pieces:
        if result and (result[-1], piece) == pair:
            result[-1] += piece
        else:
            result.append(piece)
    return result


def _write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
