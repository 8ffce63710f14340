"""What the outputs of a model are called."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class ClassNames:
    """Names of a model's outputs: `ids[i]` and `names[i]` belong to output i.

    ids: WordNet ids ("n01440764") for ImageNet models, else the same as names.
    names: for people, with synonyms separated by ", " ("tench, Tinca tinca").
    """

    owner = "the model"

    ids: tuple[str, ...]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.names):
            raise ValueError(f"{len(self.ids)} ids for {len(self.names)} names")

    def __len__(self) -> int:
        return len(self.names)

    def match(self, folder: str) -> int | None:
        """Index of the one class that `folder` names; None if no class or several are so called.

        Accepted are an id, a full name or one of its synonyms, whatever the case and with space,
        underscore and hyphen alike, or else the class index as a plain decimal number.
        """
        found = self.candidates(folder)
        return found[0] if len(found) == 1 else None

    def candidates(self, folder: str) -> tuple[int, ...]:
        """All classes that `folder` may name, ascending; see `match`."""
        found = self._index.get(_key(folder))
        if found is not None:
            return tuple(sorted(found))
        if folder.isascii() and folder.isdigit() and int(folder) < len(self):
            return (int(folder),)
        return ()

    def examples(self, folder: str, count: int = 3) -> list[str]:
        """Up to `count` accepted names: those spelled like `folder`, else the first ids."""
        accepted = [key for key, found in self._index.items() if len(found) == 1]
        near = difflib.get_close_matches(_key(folder), accepted, count)
        return near or list(self.ids[:count])

    def to_json(self) -> dict[str, list[str]]:
        """Plain lists, as JSON stores them."""
        return {"ids": list(self.ids), "names": list(self.names)}

    @classmethod
    def from_json(cls, value: object) -> ClassNames:
        """The inverse of `to_json`. Raises ValueError for anything else."""
        if not isinstance(value, Mapping):
            raise ValueError("class names must be an object with the lists 'ids' and 'names'")
        return cls(_strings(value, "ids"), _strings(value, "names"))

    @cached_property
    def _index(self) -> dict[str, set[int]]:
        """Normalized name → the classes that bear it."""
        index: dict[str, set[int]] = {}
        for i, (wordnet_id, name) in enumerate(zip(self.ids, self.names, strict=True)):
            for text in (wordnet_id, name, *name.split(", ")):
                index.setdefault(_key(text), set()).add(i)
        return index


class FolderClasses:
    """Classes numbered as their names are met: of images that are compared with each other alone.

    Once ``complete``, no further one is met. Names match as they are spelled.
    """

    owner = "the gallery"

    def __init__(self) -> None:
        self.complete = False
        self._numbers: dict[str, int] = {}

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._numbers)

    def match(self, folder: str) -> int | None:
        """The number of the class; None for no name, and for one that is not among them."""
        if folder and not self.complete:
            self._numbers.setdefault(folder, len(self._numbers))
        return self._numbers.get(folder)

    def candidates(self, folder: str) -> tuple[int, ...]:
        """The class that ``folder`` names, if any."""
        return (self._numbers[folder],) if folder in self._numbers else ()

    def examples(self, folder: str, count: int = 3) -> list[str]:
        """As of :class:`ClassNames`."""
        near = difflib.get_close_matches(folder, self._numbers, count)
        return near or list(self._numbers)[:count]


@dataclass(frozen=True)
class LabelSpace:
    """The outputs of a model: how many, and what they are called, if anybody knows.

    classes: of images that belong to no outputs, the names of their folders.
    """

    num_classes: int
    classes: ClassNames | FolderClasses | None = None


def first_synonym(name: str) -> str:
    """Of "tench, Tinca tinca", the first: they stand in the order of how common they are."""
    return name.split(", ")[0].strip().replace("_", " ")


def _strings(value: Mapping[str, object], key: str) -> tuple[str, ...]:
    entries = value.get(key)
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise ValueError(f"class names must have {key!r}, a list of strings")
    return tuple(entries)


def _key(text: str) -> str:
    return re.sub(r"[\s_-]+", " ", text).strip().casefold()
