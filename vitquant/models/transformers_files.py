"""Where the files of a model of transformers are: in a folder, or in a repository of the Hub."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download, snapshot_download, try_to_load_from_cache

from vitquant.config.values import HUB
from vitquant.core.errors import UserError, first_line

CONFIG = "config.json"
_FILES = (
    CONFIG,
    "preprocessor_config.json",
    "processor_config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*-of-*.safetensors",
    "tokenizer*",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "spiece.model",
)


def split_tower(name: str) -> tuple[str, str]:
    """A name without its tower, and the tower: ``"hf-hub:owner/name#text"``."""
    plain, _, tower = name.partition("#")
    return plain, tower


def read_json(path: Path, name: str) -> dict[str, Any]:
    """The object in a JSON file of the model ``name``. Raises UserError if there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"MODEL: {name}: {path.name} is not readable JSON") from error
    if not isinstance(found, dict):
        raise UserError(f"MODEL: {name}: {path.name} is not an object")
    return found


def _repository(plain: str) -> tuple[str, str | None]:
    identifier, _, revision = plain.removeprefix(HUB).partition("@")
    return identifier, revision or None


def hub_config(plain: str) -> Path | None:
    """``config.json`` of a repository; None if it cannot be had, which timm's source reports."""
    repository, revision = _repository(plain)
    try:
        kept = try_to_load_from_cache(repository, CONFIG, revision=revision)
        if isinstance(kept, str):
            return Path(kept)
        return Path(hf_hub_download(repository, CONFIG, revision=revision))
    except Exception:  # names, networks and rights
        return None


def download(plain: str) -> Path:
    """The folder of a repository in the Hub's cache. Raises UserError if it cannot be had."""
    repository, revision = _repository(plain)
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(_FILES)))
    except Exception as error:  # names, networks and rights
        raise UserError(
            f"MODEL: {plain} could not be downloaded ({first_line(error)}); a local folder of it "
            f"is accepted too"
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' own progress bars and remarks."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
