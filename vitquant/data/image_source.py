"""What every source of images offers, whatever it reads from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from PIL import Image

from vitquant.core.errors import UserError
from vitquant.data.class_names import LabelSpace
from vitquant.data.reading import Reading


class Role(Enum):
    """What images are for.

    split: the one that is read of a data set that has splits. needs_labels: whether an image of an
    unknown class is of no use.
    """

    CALIBRATION = ("train", False)
    EVALUATION = ("validation", True)
    COMPARISON = ("validation", False)
    GALLERY = ("train", True)

    def __init__(self, split: str, needs_labels: bool) -> None:
        self.split = split
        self.needs_labels = needs_labels


class ImageSource(Protocol):
    """A fixed number of images, in a fixed order, each perhaps with a label."""

    name: str
    """For reports: where the images come from."""

    labels: Sequence[int] | None
    """Output indices of the model where the role needs labels, else any numbering of the classes;
    -1 where unknown, None if all are. A streamed source knows `labels[i]` only after `image(i)`."""

    skipped: Mapping[str, int]
    """What was left out: class or folder name → number of images."""

    def __len__(self) -> int: ...

    def image(self, i: int) -> Image.Image:
        """Image i, RGB and fully decoded. May be called from several threads at once.

        Raises UserError, with the file's name, for an image that cannot be read.
        """
        ...


class ListSource:
    """Images that are in memory already; or texts, for a model that reads them."""

    def __init__(
        self, name: str, images: Sequence[Any], labels: Sequence[int] | None = None
    ) -> None:
        self.name = name
        self.labels = labels
        self.skipped: Mapping[str, int] = {}
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def image(self, i: int) -> Any:
        """Image i, RGB, or text i."""
        return self._images[i]


ACCEPTED = "a folder of images, a .tar, digits, or a data set such as hfds/owner/name"


@dataclass(frozen=True)
class SourceRequest:
    """One flag's source, with what is needed to read it and to complain about it.

    `open_source` documents the fields.
    """

    source: str
    flag: str
    role: Role
    label_space: LabelSpace
    ignore_unknown: bool
    limit: int
    reading: Reading = field(default_factory=Reading)

    def error(self, complaint: str) -> UserError:
        """An error that names the flag and the source. `complaint` says what would be accepted."""
        return UserError(f"{self.flag} {self.source}: {complaint}")
