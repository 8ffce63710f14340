"""What was learned and drawn before, by what it depends on."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vitquant import parallel
from vitquant.errors import UserError
from vitquant.progress import Progress
from vitquant.synthesis.diffusion.learn_job import Learning, learn_prompts
from vitquant.synthesis.diffusion.prompt_file import PromptFile, read_prompts
from vitquant.synthesis.diffusion.sample_job import Synthesis, synthesize
from vitquant.synthesis.image_folder import Images, read_index, read_run
from vitquant.synthesis.inversion.job import Inversion, make_images

VARIABLE = "VITQUANT_CACHE"


def root() -> Path:
    """The folder of the cache: what ``VITQUANT_CACHE`` names, or ``~/.cache/vitquant``."""
    given = os.environ.get(VARIABLE)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(given) if given else cache / "vitquant"


def learned(learning: Learning, progress: Progress, tell: Callable[[float], None]) -> PromptFile:
    """The prompts from the cache, or learned now and kept there.

    A damaged file is told of, removed and learned again. Raises what ``learn_prompts`` does.
    """
    named = [[s.index, s.phrase] for s in learning.subjects]
    path = _place("prompts", learning.header() | {"subjects": named}, ".safetensors")
    if _usable(path, progress, lambda: read_prompts(path, VARIABLE)):
        progress.say(f"prompts from {path}")
        return read_prompts(path, VARIABLE)
    return learn_prompts(learning, path, progress, tell)


def drawn(synthesis: Synthesis, progress: Progress, tell: Callable[[float], None]) -> Images:
    """The images from the cache, or drawn now and kept there.

    A damaged folder is told of, removed and drawn again. Raises what ``synthesize`` does.
    """
    path = _images_of(synthesis.run(), progress)
    return synthesize(synthesis, path, progress, tell)


def inverted(inversion: Inversion, progress: Progress, tell: Callable[[float], None]) -> Images:
    """The images from the cache, or made now and kept there.

    A damaged folder is told of, removed and made again. Raises what ``make_images`` does.
    """
    path = _images_of(inversion.run(), progress)
    return make_images(inversion, path, progress, tell)


def _images_of(run: Mapping[str, Any], progress: Progress) -> Path:
    path = _place("images", run, "")

    def check() -> None:
        if read_run(path) is None:
            raise UserError(f"{VARIABLE}: {path} lacks the file that says what it is")
        read_index(path, VARIABLE)

    _usable(path, progress, check)
    return path


def _place(kind: str, run: Mapping[str, Any], suffix: str) -> Path:
    key = hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()[:16]
    folder = root() / kind
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{VARIABLE}: {folder} could not be made ({error.strerror}); a writable folder is "
            f"accepted"
        ) from error
    return folder / f"{key}{suffix}"


def _usable(path: Path, progress: Progress, check: Callable[[], object]) -> bool:
    """Whether something is there and passes; what does not pass is removed."""
    reason = None
    if parallel.is_main() and path.exists():
        try:
            check()
        except UserError as error:
            reason = str(error)
            progress.warn(f"{reason}; it is made again")
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return parallel.told(path.exists())
