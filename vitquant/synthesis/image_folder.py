"""A folder of generated images by class, with an index of where each comes from.

`metadata.jsonl` has a line for each image; `file_name` is its path in the folder, which is also how
Hugging Face datasets' ImageFolder reads it. `vitquant.json` says what the images were made with.
"""

import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from vitquant.config.synthesize import RUN_FILE
from vitquant.core.errors import UserError
from vitquant.core.files import Input, check_no_input, check_writable, follow, write_whole
from vitquant.core.partial_results import PartialResults
from vitquant.data.class_names import ClassNames
from vitquant.synthesis.target_classes import TargetClass

INDEX, RUN = "metadata.jsonl", RUN_FILE
_ROWS = "rows"
_ANOTHER = "the path of a folder that does not exist is accepted"

Row = dict[str, Any]
"""What the index says about an image."""


@dataclass(frozen=True)
class GeneratedImage:
    """An image, 8 bits a channel, and where it comes from.

    number: among the images of its class. mode, text: the prompt's number in its class, and what
    it started as. seed: of the noise. confidence: the probability that the float model gives to the
    class. correct: whether that is its top-1 prediction.
    """

    target: TargetClass
    number: int
    mode: int
    text: str
    seed: int
    image: Image.Image
    confidence: float
    correct: bool


@dataclass(frozen=True)
class GeneratedFolder:
    """A finished folder of images.

    Attributes:
        path: the folder.
        sheet: the contact sheet, a PNG file of all images.
        rows: what ``metadata.jsonl`` says of each image.
        rejected: how many images were rejected.
    """

    path: Path
    sheet: Path
    rows: list[Row]
    rejected: int


def sheet_of(path: Path) -> Path:
    """Where the contact sheet of a folder is."""
    return path.with_name(f"{path.name}.png")


def class_folder(target: TargetClass, classes: ClassNames | None) -> str:
    """A name that a folder can have and ``ClassNames.match`` finds again."""
    if classes is not None:
        name = classes.ids[target.index]
        if re.fullmatch(r"\w[\w -]*", name) and classes.match(name) == target.index:
            return name
    return str(target.index)


def save_part(
    partial: PartialResults,
    number: int,
    images: Iterable[GeneratedImage],
    folder: Callable[[TargetClass], str],
    rejected: int = 0,
) -> None:
    """Write images into the unfinished folder; the last thing written is their rows.

    Args:
        number: of the part.
        folder: of a class, see :func:`class_folder`.

    Raises:
        UserError: the disk is full or refuses.
    """
    rows = []
    _make_folder(partial, _ROWS)
    for image in images:
        name = f"{_make_folder(partial, folder(image.target))}/{image.number:05}.png"
        data = io.BytesIO()
        image.image.save(data, "PNG")
        write_whole(partial.part(name), data.getvalue())
        rows.append(
            {
                "file_name": name,
                "class": image.target.index,
                "label": image.target.name,
                "prompt": image.text,
                "mode": image.mode,
                "seed": image.seed,
                "confidence": image.confidence,
                "correct": image.correct,
                "sha256": hashlib.sha256(data.getvalue()).hexdigest(),
            }
        )
    stored = {"rejected": rejected, "rows": rows}
    write_whole(_rows(partial, number), json.dumps(stored, ensure_ascii=False).encode())


def load_part(partial: PartialResults, number: int) -> tuple[int, list[Row]] | None:
    """How many images of a part were rejected, and its rows; None if it is not finished."""
    try:
        stored = json.loads(_rows(partial, number).read_text())
        return stored["rejected"], stored["rows"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def finish(
    partial: PartialResults, path: Path, header: Mapping[str, Any], rejected: int, rows: list[Row]
) -> None:
    """Write the index, and give the folder its name.

    Raises:
        UserError: it cannot be written.
    """
    about = {"run": header, "rejected": rejected}
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_whole(partial.part(INDEX), lines.encode())
    write_whole(partial.part(RUN), json.dumps(about, ensure_ascii=False, indent=1).encode())
    try:
        os.replace(partial.folder, follow(path))
    except OSError as error:
        raise UserError(
            f"--out: {path} could not be made ({error.strerror}); the path of a folder that does "
            f"not exist is accepted"
        ) from error


def is_finished(path: Path, header: Mapping[str, Any]) -> bool:
    """Whether there is a folder that was made with ``header``.

    Raises:
        UserError: there is something else.
    """
    if not path.exists():
        return False
    # As it comes back from a file: tuples as lists.
    if finished_run(path)["run"] != json.loads(json.dumps(header)):
        raise UserError(f"--out: {path} was made with other settings; {_ANOTHER}")
    return True


def load_finished(path: Path, flag: str = "--out") -> GeneratedFolder:
    """The folder at ``path``, without what is left of its parts.

    Raises:
        UserError: it is damaged.
    """
    found = finished_run(path, flag)
    PartialResults(path).remove_leftovers(_ROWS)
    return GeneratedFolder(path, sheet_of(path), read_index(path, flag), found.get("rejected", 0))


def read_index(folder: Path, flag: str = "--out") -> list[Row]:
    """The rows of a finished folder.

    Raises:
        UserError: the index or an image is missing or damaged.
    """
    try:
        text = (folder / INDEX).read_text(encoding="utf-8")
        rows = [json.loads(line) for line in text.splitlines()]
        for row in rows:
            if "recognised" in row:  # as the key was called at first
                row["correct"] = row.pop("recognised")
            data = (folder / row["file_name"]).read_bytes()
            if hashlib.sha256(data).hexdigest() != row["sha256"]:
                raise ValueError(f"{row['file_name']} is not the image that was written")
        return rows
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"{flag}: {folder} is damaged ({reason}); what synthesize wrote, unchanged, is accepted"
        ) from error


def finished_run(folder: Path, flag: str = "--out") -> dict[str, Any]:
    """What a folder was made with. Raises UserError if it is no finished folder of ours."""
    try:
        found = json.loads((folder / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if isinstance(found, dict) and isinstance(found.get("run"), dict):
        return found
    raise UserError(
        f"{flag}: {folder} lacks {RUN}, so it is something else than a folder that synthesize "
        f"wrote; {_ANOTHER}"
    )


def check_place(path: Path, flag: str, inputs: Iterable[Input]) -> None:
    """Raise a UserError unless a folder can be made at ``path``, or was made before."""
    if os.path.exists(path):
        check_no_input(path, flag, inputs)
        finished_run(path, flag)
        return
    check_writable(path, flag)
    check_writable(sheet_of(path), flag, inputs)


def _rows(partial: PartialResults, number: int) -> Path:
    return partial.part(_ROWS) / f"{number:05}.json"


def _make_folder(partial: PartialResults, name: str) -> str:
    try:
        partial.part(name).mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"--out: {partial.folder} cannot be written ({error.strerror})") from error
    return name
