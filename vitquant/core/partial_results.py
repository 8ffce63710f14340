"""What a long run has finished, piece by piece, so that it can go on after an interruption.

Each piece is a file or folder of its own, beside what the run will write in the end; several
processes may add pieces at the same time.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from vitquant import parallel
from vitquant.errors import UserError
from vitquant.files import write_whole
from vitquant.progress import Progress

_RUN = "run.json"

T = TypeVar("T")


@dataclass(frozen=True)
class Parts:
    """folder: where the pieces are."""

    folder: Path

    @classmethod
    def beside(cls, path: Path) -> "Parts":
        return cls(path.with_name(f".{path.name}.parts"))

    def begin(self, run: Mapping[str, Any], progress: Progress) -> None:
        """Start, or go on where the pieces there are of the same run; others are removed.

        Raises:
            UserError: the folder cannot be written.
        """
        if parallel.is_main():
            wanted = json.dumps(run, sort_keys=True)
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
            write_whole(self.folder / _RUN, wanted.encode())
        parallel.wait()

    def deal(self, missing: Sequence[T]) -> Sequence[T]:
        """This process's share of what is missing.

        Once all know what that is: no piece may be added before, or others would count it among the
        old ones.
        """
        parallel.wait()
        return missing[parallel.rank() :: parallel.size()]

    def piece(self, name: str) -> Path:
        return self.folder / name

    def remove(self) -> None:
        """The run is over."""
        if parallel.is_main():
            shutil.rmtree(self.folder, ignore_errors=True)

    def remove_pieces(self, name: str) -> None:
        """Those of a folder that has become the result."""
        for leftover in (self.folder / name, self.folder / _RUN):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)

    def _found(self) -> str | None:
        try:
            return (self.folder / _RUN).read_text()
        except (OSError, UnicodeDecodeError):
            return None
