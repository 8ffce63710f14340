"""One long run that makes something group by group, for every kind of synthesis.

A group is made by one process, and stored as a part beside the result as soon as it is finished. A
run that was interrupted goes on with the groups that are missing; several processes share them. In
the end the main process merges all parts into the result.

What has been made is kept in a cache, by everything that it depends on.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from vitquant.core import distributed, threads
from vitquant.core.errors import UserError
from vitquant.core.partial_results import PartialResults
from vitquant.core.progress import DurationEstimate, OnEstimate, Progress, ignore_estimate

Group = TypeVar("Group")
Part = TypeVar("Part")
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


class Steps:
    """Counts the steps of this process: moves the progress bar and estimates the duration."""

    def __init__(self, total: int, task: str, progress: Progress, on_estimate: OnEstimate) -> None:
        self._done = 0
        self._progress = progress
        self._bar = progress.track(range(total), total, task)
        self._estimate = DurationEstimate(total, on_estimate)
        next(self._bar)  # shows the bar

    def advance(self, status: str = "") -> None:
        """One more step is finished. status: a figure to show beside the bar.

        Raises whatever ``on_estimate`` does.
        """
        self._done += 1
        if status:
            self._progress.status(status)
        next(self._bar, None)
        self._estimate.tick()

    def advance_to(self, done: int) -> None:
        """So many steps are finished in all."""
        while self._done < done:
            self.advance()


class Synthesizer(Protocol[Group, Part, Result_co]):
    """What is made in a long run.

    For a folder of images, derive from :class:`vitquant.synthesis.image_job.ImageSynthesizer`,
    which leaves three methods to be written, and makes one group after the other.

    kind: what is made, in the plural; names a folder of the cache. suffix: of the result's file
    name. task: beside the progress bar. steps: of each group. image_cost: see
    :func:`vitquant.core.threads.suited_to`.
    """

    @property
    def kind(self) -> str: ...

    @property
    def suffix(self) -> str: ...

    @property
    def task(self) -> str: ...

    @property
    def steps(self) -> int: ...

    @property
    def image_cost(self) -> float: ...

    def header(self) -> dict[str, Any]:
        """Everything that the result depends on, as JSON."""
        ...

    def groups(self) -> Sequence[Group]:
        """What is made side by side, in the order of the result."""
        ...

    def make_all(self, groups: Mapping[int, Group], steps: Steps) -> Iterator[tuple[int, Part]]:
        """Make groups, by their numbers; each is handed over with its number once it is finished.

        For each, ``steps.advance`` may be called up to ``self.steps`` times.
        """
        ...

    def save_part(self, partial: PartialResults, number: int, part: Part) -> None:
        """Store the group of that number; UserError if it cannot be written."""
        ...

    def has_part(self, partial: PartialResults, number: int) -> bool:
        """Whether the group of that number is stored whole."""
        ...

    def merge(self, partial: PartialResults, path: Path, progress: Progress) -> None:
        """Write the result from all parts, and remove them; UserError if it cannot be written."""
        ...

    def is_finished(self, path: Path) -> bool:
        """Whether the result is at ``path`` already; UserError if it must not be replaced."""
        ...

    def load_finished(self, path: Path, flag: str = "--out") -> Result_co:
        """The result; UserError, which names ``flag``, if it is damaged."""
        ...


def run(
    synthesizer: Synthesizer[Group, Part, Result],
    path: Path,
    progress: Progress,
    on_estimate: OnEstimate = ignore_estimate,
) -> Result:
    """Make what is missing, write the result to ``path``, and return it.

    on_estimate: called after a minute or so with the seconds that the run takes; may raise.

    Raises:
        UserError: there is something else at ``path``, it cannot be written, or nothing can be
            made.
    """
    if synthesizer.is_finished(path):
        progress.say(f"{path} is there already, made with these settings")
        return synthesizer.load_finished(path)
    partial = PartialResults.beside(path)
    partial.open(synthesizer.header(), progress)
    groups = synthesizer.groups()
    missing = [i for i in range(len(groups)) if not synthesizer.has_part(partial, i)]
    if len(missing) < len(groups):
        progress.say(f"{len(groups) - len(missing)} of {len(groups)} parts are finished already")
    mine = partial.rank_share(missing)
    if mine:
        steps = Steps(len(mine) * synthesizer.steps, synthesizer.task, progress, on_estimate)
        with threads.suited_to(synthesizer.image_cost):
            made = synthesizer.make_all({number: groups[number] for number in mine}, steps)
            for done, (number, part) in enumerate(made, 1):
                synthesizer.save_part(partial, number, part)
                steps.advance_to(done * synthesizer.steps)
    distributed.barrier()
    if distributed.is_main():
        synthesizer.merge(partial, path, progress)
    distributed.barrier()
    return synthesizer.load_finished(path)


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


def is_cached(synthesizer: Synthesizer[Group, Part, Result]) -> bool:
    """Whether the cache has the result, be it damaged."""
    return _place(synthesizer).exists()


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
