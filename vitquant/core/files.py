"""Results appear whole or not at all, and never in place of what a run reads."""

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from vitquant.core.errors import UserError

# What a run writes and no source of images reads.
_RESULTS = (".safetensors", ".onnx", ".csv", ".json")


class Input(NamedTuple):
    """What a run reads.

    flag: what messages call it. path: of a file or folder; of something else, nothing has that
    path. images: whether nothing but images is read of a folder.
    """

    flag: str
    path: Path | str | None
    images: bool = False


def check_name(name: str, flag: str) -> None:
    """Raise a UserError for a name that is not UTF-8: no checkpoint, index or JSON can hold it."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        shown = name.encode(errors="backslashreplace").decode()
        raise UserError(
            f"{flag}: '{shown}' is not UTF-8; a name in UTF-8 is accepted, also of a symbolic link"
        ) from error


def follow(path: Path) -> Path:
    """What a symbolic link leads to, which may not exist yet; any other path as it is."""
    return Path(os.path.realpath(path)) if os.path.islink(path) else path


def check_writable(path: Path, flag: str = "--out", inputs: Iterable[Input] = ()) -> None:
    """Find out before the work, not after it, whether ``path`` can be written.

    Raises:
        UserError: it is a folder, a device or a pipe, or one of the ``inputs``, its folder does not
            exist, or it cannot be written to.
    """
    check_name(str(path), flag)
    check_no_input(path, flag, inputs)
    target = _target(path, flag)
    if not target.parent.is_dir():
        raise UserError(f"{flag}: the folder {target.parent} does not exist; create it first")
    try:
        with _temporary(target) as temporary:
            temporary.touch()
    except OSError as error:
        raise UserError(
            f"{flag}: {path} cannot be written to ({error.strerror or error}); choose another "
            f"folder or name"
        ) from error


def check_no_input(path: Path, flag: str, inputs: Iterable[Input]) -> None:
    """Raise a UserError if ``path`` is one of the inputs, is in one, or contains one.

    Links, hard ones too, are what they lead to. That a new file or folder is made in a folder that
    is read is no fault.
    """
    if not os.path.exists(path):
        return
    for given in inputs:
        if not given.path or not os.path.exists(given.path):
            continue
        if os.path.samefile(path, given.path):
            how = "is"
        elif Path(os.path.realpath(given.path)).is_relative_to(os.path.realpath(path)):
            how = "contains"
        elif _has(given, path):
            how = "is part of"
        else:
            continue
        raise UserError(
            f"{flag}: {path} {how} {given.flag} {given.path}, which is read; another path is "
            f"accepted"
        )
    for stream, name in ((sys.stdin, "stdin"), (sys.stdout, "stdout"), (sys.stderr, "stderr")):
        if _is_stream(path, stream):
            raise UserError(f"{flag}: {path} is {name}; another path is accepted")


def write_whole(path: Path, data: bytes, flag: str = "--out") -> None:
    """Write ``data`` under a temporary name beside ``path`` and rename it.

    A symbolic link stays, and what it leads to is written.

    Raises:
        UserError: it is no plain file, or the disk is full or refuses; what was at ``path`` before
            is untouched.
    """
    target = _target(path, flag)
    try:
        with _temporary(target) as temporary:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
    except OSError as error:
        raise UserError(
            f"{flag}: {path} could not be written ({error.strerror or error}); {len(data):,} bytes "
            f"of free space in a writable folder are needed"
        ) from error


def remove_leftovers(path: Path) -> None:
    """Remove what processes that were killed while they wrote ``path`` left beside it."""
    path = follow(path)
    for temporary in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        pid = temporary.name.split(".")[-2]
        if pid.isdigit() and not _runs(int(pid)):
            temporary.unlink(missing_ok=True)


def _target(path: Path, flag: str) -> Path:
    """The plain file, of now or later, that is written for ``path``."""
    target = follow(path)
    try:
        if target.is_dir():
            raise UserError(f"{flag}: {path} is a folder; the path of a file is accepted")
        if target.is_symlink() or (target.exists() and not target.is_file()):
            raise UserError(f"{flag}: {path} is no ordinary file; the path of a file is accepted")
    except OSError as error:  # such as a name that is too long
        raise UserError(
            f"{flag}: {path} cannot be written to ({error.strerror or error}); choose another "
            f"folder or name"
        ) from error
    return target


def _has(folder: Input, path: Path) -> bool:
    """Whether ``path`` is a file that is read in a folder, whatever it is called there."""
    if not path.is_file() or (folder.images and path.suffix.lower() in _RESULTS):
        return False
    wanted, seen = path.stat(), set()
    for root, folders, files in os.walk(folder.path or "", followlinks=True):
        about = os.stat(root)
        if (about.st_dev, about.st_ino) in seen:  # links that lead in a circle
            folders.clear()
            continue
        seen.add((about.st_dev, about.st_ino))
        for name in files:
            try:
                if os.path.samestat(os.stat(os.path.join(root, name)), wanted):
                    return True
            except OSError:  # a link that leads nowhere
                continue
    return False


def _is_stream(path: Path, stream: object) -> bool:
    try:
        number = stream.fileno()  # type: ignore[attr-defined]
        return path.is_file() and os.path.samestat(os.fstat(number), path.stat())
    except (AttributeError, OSError, ValueError):  # closed, or not a file at all
        return False


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
