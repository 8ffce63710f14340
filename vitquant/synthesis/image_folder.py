"""A folder of drawn images by class, with an index of where each comes from.

`metadata.jsonl` has a line for each image; `file_name` is its path in the folder, which is also how
Hugging Face datasets' ImageFolder reads it. `vitquant.json` says what the images were made with.
"""

import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from vitquant.core.partial_results import Parts
from vitquant.data.classes import ClassNames
from vitquant.data.decode import decode
from vitquant.errors import UserError
from vitquant.files import write_whole
from vitquant.progress import Progress
from vitquant.synthesis.diffusion.sample import Drawing
from vitquant.synthesis.target_classes import Subject

INDEX, RUN = "metadata.jsonl", "vitquant.json"
_ROWS = "rows"


@dataclass(frozen=True)
class Images:
    """A finished folder, its contact sheet, its rows, and how many images were rejected."""

    path: Path
    sheet: Path
    rows: list[dict[str, Any]]
    rejected: int


def sheet_of(path: Path) -> Path:
    """Where the contact sheet of a folder is."""
    return path.with_name(f"{path.name}.png")


def made_before(path: Path, run: Mapping[str, Any], progress: Progress) -> Images | None:
    """The images at ``path``, if there is something.

    Raises:
        UserError: it is something else than was made with ``run``, or it is damaged.
    """
    if not path.exists():
        return None
    found = read_run(path)
    if found is None or found["run"] != _as_json(run):
        what = "is something else" if found is None else "was made with other settings"
        raise UserError(
            f"--out: {path} {what}; remove it, or give the path of a folder that does not exist"
        )
    Parts(path).remove_pieces(_ROWS)
    progress.say(f"{path} is there already, made with these settings")
    return Images(path, sheet_of(path), read_index(path), found["rejected"])


def class_folder(subject: Subject, classes: ClassNames | None) -> str:
    """A name that a folder can have and ``ClassNames.match`` finds again."""
    if classes is not None:
        name = classes.ids[subject.index]
        if re.fullmatch(r"\w[\w -]*", name) and classes.match(name) == subject.index:
            return name
    return str(subject.index)


def keep(
    parts: Parts,
    piece: int,
    drawings: Iterable[Drawing],
    folder: Callable[[Subject], str],
    rejected: int = 0,
) -> None:
    """Write images into the unfinished folder; the last thing written is their rows.

    Args:
        piece: a number for these images among those of the run.
        folder: of a class, see :func:`class_folder`.

    Raises:
        UserError: the disk is full or refuses.
    """
    rows = []
    _make(parts, _ROWS)
    for drawing in drawings:
        name = f"{_make(parts, folder(drawing.subject))}/{drawing.number:05}.png"
        data = io.BytesIO()
        drawing.image.save(data, "PNG")
        write_whole(parts.piece(name), data.getvalue())
        rows.append(
            {
                "file_name": name,
                "class": drawing.subject.index,
                "label": drawing.subject.phrase,
                "prompt": drawing.text,
                "mode": drawing.mode,
                "seed": drawing.seed,
                "confidence": drawing.confidence,
                "recognised": drawing.recognised,
                "sha256": hashlib.sha256(data.getvalue()).hexdigest(),
            }
        )
    stored = {"rejected": rejected, "rows": rows}
    write_whole(_rows(parts, piece), json.dumps(stored, ensure_ascii=False).encode())


def kept(parts: Parts, piece: int) -> tuple[int, list[dict[str, Any]]] | None:
    """How many images of a piece were rejected, and its rows; None if it is not done."""
    try:
        stored = json.loads(_rows(parts, piece).read_text())
        return stored["rejected"], stored["rows"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def finish(parts: Parts, path: Path, run: Mapping[str, Any], rows: Iterable[Any]) -> None:
    """Write the index, and give the folder its name.

    Raises:
        UserError: it cannot be written.
    """
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_whole(parts.piece(INDEX), lines.encode())
    write_whole(parts.piece(RUN), json.dumps(run, ensure_ascii=False, indent=1).encode())
    try:
        os.replace(parts.folder, path)
    except OSError as error:
        raise UserError(
            f"--out: {path} could not be made ({error.strerror}); the path of a folder that does "
            f"not exist is accepted"
        ) from error
    Parts(path).remove_pieces(_ROWS)


def read_index(folder: Path, flag: str = "--out") -> list[dict[str, Any]]:
    """The rows of a finished folder.

    Raises:
        UserError: the index or an image is missing or damaged.
    """
    try:
        text = (folder / INDEX).read_text(encoding="utf-8")
        rows = [json.loads(line) for line in text.splitlines()]
        for row in rows:
            data = (folder / row["file_name"]).read_bytes()
            if hashlib.sha256(data).hexdigest() != row["sha256"]:
                raise ValueError(f"{row['file_name']} is not the image that was written")
        return rows
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"{flag}: {folder} is damaged ({reason}); what synthesize wrote, unchanged, is accepted"
        ) from error


def read_run(folder: Path) -> dict[str, Any] | None:
    """What a folder was made with; None if it is no finished folder of ours."""
    try:
        found = json.loads((folder / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("run"), dict) else None


def is_inverted(folder: Path) -> bool:
    """Whether a folder holds images that were optimised through a model."""
    found = read_run(folder)
    return found is not None and "inversion" in found["run"]


def _rows(parts: Parts, piece: int) -> Path:
    return parts.piece(_ROWS) / f"{piece:05}.json"


def _make(parts: Parts, folder: str) -> str:
    try:
        parts.piece(folder).mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"--out: {parts.folder} cannot be written ({error.strerror})") from error
    return folder


def _as_json(value: Any) -> Any:
    """As it comes back from a file: tuples as lists."""
    return json.loads(json.dumps(value))


class DrawnSource:
    """The images of a folder that ``synthesize`` wrote, in the order of its index.

    Raises UserError, naming the folder, if it is damaged.
    """

    def __init__(self, folder: Path, name: str) -> None:
        rows = read_index(folder)
        self.name = name
        self.labels: Sequence[int] | None = [row["class"] for row in rows]
        self.ignored: Mapping[str, int] = {}
        self._files = [folder / row["file_name"] for row in rows]

    def __len__(self) -> int:
        return len(self._files)

    def image(self, i: int) -> Image.Image:
        """Image i, RGB."""
        file = self._files[i]
        return decode(file.read_bytes(), name=str(file), flag="--calib")
