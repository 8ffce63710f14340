"""Results appear whole or not at all."""

import glob
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vitquant.core.errors import UserError


def check_writable(
    path: Path, flag: str = "--out", inputs: Iterable[Path | str | None] = ()
) -> None:
    """Find out before the work, not after it, whether ``path`` can be written.

    Raises:
        UserError: it is a folder, a device or a pipe, or one of the ``inputs``, its folder does not
            exist, or it cannot be written to.
    """
    folder = path.parent
    if path.is_dir():
        raise UserError(f"{flag}: {path} is a folder; the path of a file is accepted")
    if path.exists() and not path.is_file():
        raise UserError(f"{flag}: {path} is no ordinary file; the path of a file is accepted")
    for given in inputs:
        if given and path.exists() and os.path.exists(given) and path.samefile(given):
            raise UserError(f"{flag}: {path} is what is read; the path of another file is accepted")
    if not folder.is_dir():
        raise UserError(f"{flag}: the folder {folder} does not exist; create it first")
    if not os.access(folder, os.W_OK):
        raise UserError(f"{flag}: {folder} cannot be written to; choose another folder")


def write_whole(path: Path, data: bytes, flag: str = "--out") -> None:
    """Write ``data`` under a temporary name beside ``path`` and rename it.

    Raises:
        UserError: the disk is full or refuses; what was at ``path`` before is untouched.
    """
    try:
        with _temporary(path) as temporary:
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"{flag}: {path} could not be written ({error.strerror or error}); {len(data):,} bytes "
            f"of free space in a writable folder are needed"
        ) from error


def remove_leftovers(path: Path) -> None:
    """Remove what processes that were killed while they wrote ``path`` left beside it."""
    for temporary in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        pid = temporary.name.split(".")[-2]
        if pid.isdigit() and not _runs(int(pid)):
            temporary.unlink(missing_ok=True)


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
