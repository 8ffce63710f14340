"""onnxruntime-web: the files of the npm package that a page needs."""

import base64
import hashlib
import tarfile
from io import BytesIO
from pathlib import Path
from urllib.request import urlopen

from vitquant.core.errors import UserError, first_line
from vitquant.core.files import write_whole
from vitquant.core.progress import Progress
from vitquant.synthesis.job import root

VERSION = "1.30.0"
URL = f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
# Of the tarball, as the registry gives it in base64.
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
NAMES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
_TIMEOUT = 60  # seconds without an answer


def ort_web_files(tarball: Path | None, progress: Progress, flag: str) -> dict[str, bytes]:
    """The files of onnxruntime-web by name.

    Args:
        tarball: the npm package; None for the one in the cache, which is downloaded if need be.
        flag: what messages call ``tarball``.

    Raises:
        UserError: it cannot be read or downloaded, or is not the pinned one.
    """
    data = _downloaded(progress, flag) if tarball is None else _read(tarball, flag)
    with tarfile.open(fileobj=BytesIO(data)) as archive:
        members = {name: archive.extractfile(f"package/dist/{name}") for name in NAMES}
        return {name: member.read() for name, member in members.items() if member is not None}


def _is_pinned(data: bytes) -> bool:
    return base64.b64encode(hashlib.sha512(data).digest()).decode() == SHA512


def _read(tarball: Path, flag: str) -> bytes:
    try:
        data = tarball.read_bytes()
    except OSError as error:
        raise UserError(
            f"{flag}: {tarball} cannot be read ({error.strerror or error}); what "
            f"npm pack onnxruntime-web@{VERSION} writes is accepted"
        ) from error
    if not _is_pinned(data):
        raise UserError(
            f"{flag}: {tarball} is not onnxruntime-web {VERSION}, its SHA-512 differs; what "
            f"npm pack onnxruntime-web@{VERSION} writes is accepted"
        )
    return data


def _downloaded(progress: Progress, flag: str) -> bytes:
    kept = root() / "onnxruntime-web" / URL.rpartition("/")[2]
    if kept.is_file() and _is_pinned(data := kept.read_bytes()):
        return data
    progress.say(f"downloads onnxruntime-web {VERSION} from {URL}")
    try:
        with urlopen(URL, timeout=_TIMEOUT) as answer:
            data = answer.read()
    except OSError as error:
        raise UserError(
            f"--format: onnxruntime-web {VERSION} cannot be downloaded from {URL} "
            f"({first_line(error)}); {flag} FILE takes what npm pack onnxruntime-web@{VERSION} "
            f"writes"
        ) from error
    if not _is_pinned(data):
        raise UserError(
            f"--format: what {URL} gives is not onnxruntime-web {VERSION}, its SHA-512 differs; "
            f"{flag} FILE takes what npm pack onnxruntime-web@{VERSION} writes"
        )
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_whole(kept, data, "--format")
    return data
