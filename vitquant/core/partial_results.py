"""The finished parts of a long run, so that it can go on after an interruption.

Each part is a file or folder of its own, beside what the run will write in the end; several
processes may add parts at the same time.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from vitquant.core import distributed
from vitquant.core.errors import UserError
from vitquant.core.files import follow, write_whole
from vitquant.core.progress import Progress

_HEADER = "run.json"

T = TypeVar("T")


@dataclass(frozen=True)
class PartialResults:
    """folder: where the parts are."""

    folder: Path

    @classmethod
    def beside(cls, path: Path) -> "PartialResults":
        path = follow(path)
        return cls(path.with_name(f".{path.name}.parts"))

    def open(self, header: Mapping[str, Any], progress: Progress) -> None:
        """Start, or go on where the parts there have the same header; others are removed.

        header: everything that the parts depend on.

        Raises:
            UserError: the folder cannot be written.
        """
        if distributed.is_main():
            wanted = json.dumps(header, sort_keys=True)
            if self.folder.exists() and self._found() != wanted:
                progress.say(f"{self.folder} is of a run with other settings; starting anew")
                shutil.rmtree(self.folder)
            try:
                self.folder.mkdir(exist_ok=True)
            except OSError as error:
                raise UserError(
                    f"--out: {self.folder} could not be made ({error.strerror}); a writable folder "
                    f"is accepted"
                ) from error
            write_whole(self.folder / _HEADER, wanted.encode())
        distributed.barrier()

    def rank_share(self, missing: Sequence[T]) -> Sequence[T]:
        """This process's share of the parts that are missing.

        Waits until all processes know which these are: no part may be added before, or others would
        count it among the finished ones.
        """
        distributed.barrier()
        return missing[distributed.rank() :: distributed.world_size()]

    def part(self, name: str) -> Path:
        """Where a part is."""
        return self.folder / name

    def remove(self) -> None:
        """The run is over."""
        if distributed.is_main():
            shutil.rmtree(self.folder, ignore_errors=True)

    def remove_leftovers(self, name: str) -> None:
        """Remove a part and the header from a folder that has become the result."""
        for leftover in (self.folder / name, self.folder / _HEADER):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)

    def _found(self) -> str | None:
        try:
            return (self.folder / _HEADER).read_text()
        except (OSError, UnicodeDecodeError):
            return None
