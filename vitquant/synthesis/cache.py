"""What was synthesized before, by what it depends on."""

import hashlib
import json
import os
import shutil
from pathlib import Path

from vitquant.core import distributed
from vitquant.core.duration import OnEstimate
from vitquant.core.errors import UserError
from vitquant.core.progress import Progress
from vitquant.synthesis.job import Group, Part, Result, Synthesizer, run

VARIABLE = "VITQUANT_CACHE"


def root() -> Path:
    """The folder of the cache: what ``VITQUANT_CACHE`` names, or ``~/.cache/vitquant``."""
    given = os.environ.get(VARIABLE)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else cache / "vitquant"


def run_cached(
    synthesizer: Synthesizer[Group, Part, Result], progress: Progress, on_estimate: OnEstimate
) -> Result:
    """The result from the cache, or made now and kept there.

    A damaged one is reported, removed and made again. Raises what ``run`` does.
    """
    path = _place(synthesizer)
    if _usable(synthesizer, path, progress):
        progress.say(f"{synthesizer.kind} from {path}")
        return synthesizer.load_finished(path, VARIABLE)
    return run(synthesizer, path, progress, on_estimate)


def _place(synthesizer: Synthesizer[Group, Part, Result]) -> Path:
    text = json.dumps(synthesizer.header(), sort_keys=True)
    folder = root() / synthesizer.kind
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{VARIABLE}: {folder} could not be made ({error.strerror}); a writable folder is "
            f"accepted"
        ) from error
    return folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}{synthesizer.suffix}"


def _usable(synthesizer: Synthesizer[Group, Part, Result], path: Path, progress: Progress) -> bool:
    """Whether a whole result is there; a damaged one is removed."""
    if distributed.is_main() and path.exists():
        try:
            synthesizer.load_finished(path, VARIABLE)
        except UserError as error:
            progress.warn(f"{error}; it is made again")
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return bool(distributed.broadcast_object(path.exists()))
