"""Sending :mod:`vitquant.hub.upload` off, and making sense of what it comes back with.

The upload is a process of its own because a process can be ended: the Hub's client sets no limit on
the requests of an upload, retries for minutes, and waits as long as a server tells it to. Its
environment, too, can be set before the client reads it, and what it prints goes no further.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vitquant

# Seconds that a single request may be silent; the client's own variable sets another number.
_SILENCE, _VARIABLE = 30, "HF_HUB_DOWNLOAD_TIMEOUT"
# Seconds for everything: so many silences, and time for the files at a slow line's speed.
_SILENCES, _BYTES_A_SECOND = 4, 50_000


@dataclass(frozen=True)
class Outcome:
    """How an upload ended.

    url, commit: where the result is; None if it failed. created: whether the repository is new.
    committing: whether the commit itself was sent, so that it may have been made even if no answer
    came. public: whether it was refused because a repository that is to be private is public.
    status: the HTTP status that the client gave up over. timed_out: time ran out instead.
    answered: the last HTTP status before that. message: what the client said, which may hold a
    token. patience: seconds that were waited.
    """

    url: str | None = None
    commit: str | None = None
    created: bool = False
    committing: bool = False
    public: bool = False
    status: int | None = None
    timed_out: bool = False
    answered: int | None = None
    message: str = ""
    patience: float = 0


def run(job: dict[str, Any], size: int) -> Outcome:
    """Upload files of ``size`` bytes in all; ``job`` is what :mod:`vitquant.hub.upload` reads.

    Raises nothing for a failed upload: the outcome tells.
    """
    silence = _silence()
    patience = _SILENCES * silence + size / _BYTES_A_SECOND
    job = job | {"timeout": silence, "version": vitquant.__version__}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "vitquant.hub.upload"],
            input=json.dumps(job).encode(),
            capture_output=True,
            timeout=patience,
            env=_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        told = _told(error.stdout or b"")
        return _outcome(told | {"timeout": True}, patience)
    told = _told(done.stdout)
    if "url" not in told and "failed" not in told and "public" not in told:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        told["message"] = last[0] if last else f"the upload ended with code {done.returncode}"
    return _outcome(told, silence)


def _outcome(told: dict[str, Any], patience: float) -> Outcome:
    return Outcome(
        url=told.get("url"),
        commit=told.get("commit"),
        created=told.get("created", False),
        committing=told.get("committing", False),
        public=told.get("public", False),
        status=told.get("status"),
        timed_out=told.get("timeout", False),
        answered=told.get("answered"),
        message=told.get("message", ""),
        patience=patience,
    )


def _told(stdout: bytes) -> dict[str, Any]:
    """What the process has told so far; a line that was cut off by its end does not count."""
    told: dict[str, Any] = {}
    for line in stdout.decode(errors="replace").splitlines():
        try:
            told |= json.loads(line)
        except ValueError:
            continue
    return told


def _silence() -> float:
    given = os.environ.get(_VARIABLE, "")
    return float(given) if given.isdigit() and int(given) > 0 else _SILENCE


def _environment() -> dict[str, str]:
    # The Xet protocol has a client of its own, which knows no time limit; all Hubs take LFS too.
    usual = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    package = str(Path(vitquant.__file__).parent.parent)
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
    return usual | os.environ | {"PYTHONPATH": path}
