"""The files in a folder or in a tar: which are images, and what is passed over."""

from __future__ import annotations

import os
import posixpath
import re
import stat
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from vitquant.data.decode import extensions

# What macOS, Synology and Jupyter put beside people's files, and those that begin with a dot.
_HIDDEN = re.compile(r"(^|/)(\.|__MACOSX/|@eaDir/)")
# What `vitquant synthesize` writes beside its images.
_OWN = ("metadata.jsonl", "vitquant.json")
_MOST_KINDS = 6


class File(NamedTuple):
    """A file among others.

    path: below the folder or in the tar, with slashes. place: the file that has its bytes, from
    offset on. size: in bytes; None where it is neither a regular file nor a link to one.
    """

    path: str
    place: str
    size: int | None
    offset: int = 0

    @property
    def folder(self) -> str:
        """The name of the innermost folder; empty at the top."""
        return posixpath.basename(posixpath.dirname(self.path))

    def read(self) -> bytes:
        """The whole content. Raises OSError if there is less, or none."""
        if self.size is None:
            raise OSError("neither a file nor a link to one")
        with open(self.place, "rb") as file:
            file.seek(self.offset)
            data = file.read(self.size)
        if len(data) != self.size:
            raise OSError(f"{len(data)} of {self.size} bytes are there")
        return data


def in_folder(
    folder: str, below: str = "", above: frozenset[tuple[int, int]] = frozenset()
) -> Iterator[File]:
    """All files under a folder, those behind links too.

    above: the folders that this one lies in, which a link may lead back to.

    Raises OSError for a folder that cannot be read.
    """
    status = os.stat(folder)
    itself = (status.st_dev, status.st_ino)
    if itself in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            path = below + entry.name
            try:
                found = entry.stat()
            except OSError:  # a link to nothing, or to itself
                yield File(path, entry.path, None)
                continue
            if stat.S_ISDIR(found.st_mode):
                yield from in_folder(entry.path, f"{path}/", above | {itself})
            else:
                # Opening a FIFO would wait for somebody to write.
                size = found.st_size if stat.S_ISREG(found.st_mode) else None
                yield File(path, entry.path, size)


def in_tar(path: Path) -> Iterator[File]:
    """All files in an uncompressed tar, and in tars in it, each of which counts as a folder.

    Raises tarfile.TarError if it is damaged.
    """
    with tarfile.open(path, "r:") as tar:
        yield from _members(tar, str(path), "", 0)


def _members(tar: tarfile.TarFile, place: str, below: str, offset: int) -> Iterator[File]:
    members = tar.getmembers()
    by_name = {posixpath.normpath(member.name): member for member in members}
    for member in members:
        path = below + posixpath.normpath(member.name).lstrip("/")
        target = _target(member, by_name)
        if member.isdir():
            continue
        if target is None or target.issparse():
            yield File(path, place, None)
        elif path.lower().endswith(".tar") and target.size and not _HIDDEN.search(path):
            with tarfile.open(fileobj=tar.extractfile(target), mode="r:") as inner:
                start = offset + target.offset_data
                yield from _members(inner, place, f"{path[: -len('.tar')]}/", start)
        else:
            yield File(path, place, target.size, offset + target.offset_data)


def _target(member: tarfile.TarInfo, by_name: dict[str, tarfile.TarInfo]) -> tarfile.TarInfo | None:
    """The regular file that a member is, or is a link to; None where there is none."""
    seen: set[str] = set()
    found: tarfile.TarInfo | None = member
    while found is not None and (found.issym() or found.islnk()) and found.name not in seen:
        seen.add(found.name)
        # A hard link names a member, a symbolic one a place beside its own.
        beside = posixpath.dirname(found.name) if found.issym() else ""
        found = by_name.get(posixpath.normpath(posixpath.join(beside, found.linkname)))
    return found if found is not None and found.isfile() else None


def choose_images(files: Iterable[File]) -> tuple[list[File], str]:
    """The images among files, and in words what else there is; empty if nothing."""
    images: list[File] = []
    others: Counter[str] = Counter()
    for file in files:
        kind = _kind(file)
        if kind is None:
            images.append(file)
        elif file.path not in _OWN:
            others[kind] += 1
    return images, _in_words(others)


def _kind(file: File) -> str | None:
    """Why a file is passed over; None for an image."""
    extension = posixpath.splitext(file.path)[1].lower()
    if _HIDDEN.search(file.path):
        return "hidden"
    if extension not in extensions():
        return extension if re.fullmatch(r"\.[a-z0-9]{1,8}", extension) else "of unknown type"
    if file.size == 0:
        return "empty"
    return None


def _in_words(others: Counter[str]) -> str:
    """Such as "12 files passed over: 9 .txt, 2 empty, 1 hidden"."""
    total = others.total()
    if not total:
        return ""
    named = sorted(others.items(), key=lambda kind: (-kind[1], kind[0]))[:_MOST_KINDS]
    parts = [f"{count} {kind}" for kind, count in named]
    if rest := total - sum(count for _, count in named):
        parts.append(f"{rest} of other types")
    return f"{total} file{'' if total == 1 else 's'} passed over: {', '.join(parts)}"
