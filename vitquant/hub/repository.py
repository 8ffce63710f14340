"""Repositories of the Hub: what a name means, what its files are called, and reading them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from vitquant.config.values import HUB
from vitquant.core.errors import UserError, first_line
from vitquant.hub.deadline import Deadline
from vitquant.hub.errors import redact
from vitquant.models.transformers_files import split_tower

CHECKPOINT, CONFIG, CARD, ONNX = "model.safetensors", "config.json", "README.md", "model.onnx"
SECTION = "vitquant"
# Seconds for a file of a few kilobytes. The client's own patience with a Hub that hangs is over
# six minutes.
_PATIENCE = 60.0


@dataclass(frozen=True)
class Repository:
    """``owner/name``, and a branch, tag or commit; None for the default branch."""

    id: str
    revision: str | None = None

    @classmethod
    def of(cls, name: str, revision: str | None = None) -> "Repository":
        """The repository of ``hf-hub:owner/name[@revision]``, whatever tower ``#text`` names.

        Raises:
            UserError: two different revisions are asked for.
        """
        identifier, _, written = split_tower(name)[0].removeprefix(HUB).partition("@")
        if written and revision is not None and written != revision:
            raise UserError(f"revision: {revision!r} is not the one in {name!r}; give one of them")
        return cls(identifier, written or revision)


def check_identifier(identifier: str, flag: str = "--push-to-hub") -> None:
    """Raise a UserError unless ``identifier`` is ``OWNER/NAME``."""
    try:
        validate_repo_id(identifier)
        if identifier.count("/") == 1:
            return
    except HFValidationError:
        pass
    raise UserError(
        f"{flag}: {identifier!r} names no repository; OWNER/NAME of letters, digits, '-', '_' and "
        f"'.' is accepted"
    )


def quantized_config(repository: Repository) -> dict[str, Any] | None:
    """``config.json`` of a repository that holds a checkpoint; None where it holds a float model.

    Raises:
        UserError: there is no such repository, or it cannot be read.
    """
    config = read_config(repository)
    return config if isinstance(config.get(SECTION), dict) else None


def is_checkpoint_folder(folder: Path) -> bool:
    """Whether a folder is a copy of a repository that holds a checkpoint."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and isinstance(config.get(SECTION), dict)


def read_config(repository: Repository, local_files_only: bool = False) -> dict[str, Any]:
    """``config.json`` of any model.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    path = _fetch(repository, CONFIG, _PATIENCE, local_files_only=local_files_only)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(repository, f"{CONFIG} is not JSON") from error
    if not isinstance(config, dict):
        raise _unreadable(repository, f"{CONFIG} is not an object")
    return config


def checkpoint_file(repository: Repository) -> Path:
    """The checkpoint of a repository, in the Hub's cache.

    Raises:
        UserError: it cannot be downloaded.
    """
    # Always the same name: what config.json says of files is not to be trusted.
    return _fetch(repository, CHECKPOINT, None)


def _fetch(
    repository: Repository, file: str, patience: float | None, local_files_only: bool = False
) -> Path:
    def download() -> str:
        return hf_hub_download(
            repository.id,
            file,
            revision=repository.revision,
            local_files_only=local_files_only,
        )

    try:
        path = download() if patience is None else Deadline(patience).run(download)
    except Exception as error:  # whatever the client raises over names, networks and rights
        # Without its cause, which holds the request and with it the token.
        raise _unreadable(repository, redact(first_line(error))) from None
    return Path(path)


def _unreadable(repository: Repository, reason: str) -> UserError:
    at = f"@{repository.revision}" if repository.revision else ""
    return UserError(
        f"MODEL: '{HUB}{repository.id}{at}' could not be read from the Hub ({reason}); accepted: "
        f"{HUB}owner/name of a model of timm, transformers or vitquant"
    )
