"""What a user asked for when naming a source."""

from __future__ import annotations

from dataclasses import dataclass

from vitquant.data.classes import ClassNames
from vitquant.data.image_source import Role
from vitquant.errors import UserError

ACCEPTED = "a folder of images, a .tar, digits, or a data set such as hfds/owner/name"


@dataclass(frozen=True)
class Request:
    """One flag's source, with what is needed to read it and to complain about it.

    `open_source` documents the fields.
    """

    source: str
    flag: str
    role: Role
    classes: ClassNames | None
    num_classes: int
    ignore_unknown: bool
    limit: int

    def error(self, complaint: str) -> UserError:
        """An error that names the flag and the source. `complaint` says what would be accepted."""
        return UserError(f"{self.flag} {self.source}: {complaint}")


def first_line(error: BaseException) -> str:
    """What a foreign exception says, as part of a one-line message."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
