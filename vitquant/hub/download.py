"""Finding out what a repository of the Hub holds, and getting its checkpoint."""

import json
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import hf_hub_download

from vitquant.core.errors import UserError
from vitquant.hub.redact import redact
from vitquant.hub.repository import CHECKPOINT, CONFIG, Repository
from vitquant.models.sources.from_timm import HUB

T = TypeVar("T")

SECTION = "vitquant"
# Seconds for a file of a few kilobytes. The client's own patience with a Hub that hangs is over
# six minutes.
_PATIENCE = 60.0


def quantized_config(repository: Repository) -> dict[str, Any] | None:
    """``config.json`` of a repository that holds a checkpoint; None where it holds a float model.

    Raises:
        UserError: there is no such repository, or it cannot be read.
    """
    config = read_config(repository)
    return config if isinstance(config.get(SECTION), dict) else None


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
    try:
        path = _within(
            patience,
            lambda: hf_hub_download(
                repository.id,
                file,
                revision=repository.revision,
                local_files_only=local_files_only,
            ),
        )
    except Exception as error:  # whatever the client raises over names, networks and rights
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        # Without its cause, which holds the request and with it the token.
        raise _unreadable(repository, redact(reason)) from None
    return Path(path)


def _within(patience: float | None, call: Callable[[], T]) -> T:
    """The result of ``call``, or a TimeoutError after ``patience`` seconds."""
    if patience is None:
        return call()
    answer: queue.Queue[tuple[T | None, Exception | None]] = queue.Queue()

    def run() -> None:
        try:
            answer.put((call(), None))
        except Exception as error:
            answer.put((None, error))

    # A daemon: a download that hangs must not keep the program from ending.
    threading.Thread(target=run, daemon=True).start()
    try:
        value, error = answer.get(timeout=patience)
    except queue.Empty:
        raise TimeoutError(f"no answer within {patience:.0f} s") from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]


def _unreadable(repository: Repository, reason: str) -> UserError:
    at = f"@{repository.revision}" if repository.revision else ""
    return UserError(
        f"MODEL: '{HUB}{repository.id}{at}' could not be read from the Hub ({reason}); accepted: "
        f"{HUB}owner/name of a model of timm or vitquant"
    )
