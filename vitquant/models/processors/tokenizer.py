"""The tokenizer of a text tower, which travels with the model as the text of a tokenizer.json."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from vitquant.core.errors import UserError, first_line

_FILES = ("tokenizer.json", "vocab.json", "spiece.model")
# Of different lengths and words: what is the same for both does not depend on the text.
_EXAMPLES = ("a photo of a great white shark, seen from below.", "the Eiffel Tower")


def read_tokenizer(folder: Path, name: str, config: Any) -> dict[str, Any]:
    """The preprocessing of a text tower; see :class:`vitquant.models.model.Model`.

    config: of the tower, which says how long its texts are and how many tokens it knows.

    Raises:
        UserError: there is no tokenizer, or it is that of another network.
    """
    from transformers import AutoTokenizer

    # Without files, transformers makes a tokenizer that knows no words.
    if not any((folder / file).is_file() for file in _FILES):
        raise _refused(name, "has no tokenizer")
    try:
        found: Any = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        pad: dict[str, Any] = {"pad_id": found.pad_token_id, "pad_token": found.pad_token}
        tokenizer = Tokenizer.from_str(found.backend_tokenizer.to_str())
        tokenizer.encode(_EXAMPLES[0])
    except Exception as error:  # whatever transformers raises over a file
        raise _refused(name, f"has no readable tokenizer ({first_line(error)})") from error
    length = config.max_position_embeddings
    tokenizer.enable_truncation(length)
    known = {token: value for token, value in pad.items() if value is not None}
    tokenizer.enable_padding(length=length, **known)
    _check_fits(tokenizer, name, config)
    return {"input_size": (length,), "tokenizer": tokenizer.to_str()}


def _check_fits(tokenizer: Tokenizer, name: str, config: Any) -> None:
    highest = max(tokenizer.get_vocab().values())
    if highest >= config.vocab_size:
        raise _refused(
            name, f"has a tokenizer of {highest + 1} tokens, its network {config.vocab_size}"
        )
    # CLIP reads its answer off the first such token; 2 is written in old files whatever it is.
    end = config.eos_token_id if config.model_type == "clip_text_model" else 2
    if end != 2 and end not in tokenizer.encode(_EXAMPLES[0]).ids:
        raise _refused(name, f"has a tokenizer that ends no text with the eos_token_id {end}")


def _refused(name: str, what: str) -> UserError:
    return UserError(
        f"MODEL: {name} {what}; tokenizer.json, or vocab.json and merges.txt, as they were "
        f"published with the weights, are accepted"
    )


def text_transform(preprocessing: dict[str, Any]) -> Callable[[str], Tensor]:
    """From a text to its tokens, (L,) int64: padded, or cut off, to the model's length."""
    tokenizer = Tokenizer.from_str(preprocessing["tokenizer"])
    return lambda text: torch.tensor(tokenizer.encode(text).ids)


def example_tokens(preprocessing: dict[str, Any]) -> Tensor:
    """(2, L): tokens of two texts."""
    return torch.stack([*map(text_transform(preprocessing), _EXAMPLES)])
