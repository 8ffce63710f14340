"""From what a user wrote after `--data` or `--calib` to images."""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from vitquant.core.errors import UserError
from vitquant.data.class_names import FolderClasses, LabelSpace
from vitquant.data.image_source import ACCEPTED, ImageSource, ListSource, Role, SourceRequest
from vitquant.data.match_labels import match_folders
from vitquant.data.reading import Reading
from vitquant.data.sources.folder import open_folder
from vitquant.data.sources.timm_dataset import PREFIXES, open_dataset, prefix_of
from vitquant.data.texts import TEXTS, open_texts

__all__ = ["ImageSource", "Role", "open_source"]

BY_SUFFIX: dict[str, Callable[[Path, SourceRequest], ImageSource]] = {
    ".tar": open_folder,
}
"""What opens a file, by the end of its name."""


def open_source(
    source: str,
    *,
    flag: str,
    label_space: LabelSpace,
    role: Role,
    ignore_unknown: bool = False,
    limit: int = 1024,
    reading: Reading | None = None,
    reads_text: bool = False,
) -> ImageSource:
    """Find the images that `source` names, without decoding them yet; or the texts.

    source: a folder of images by class, or for calibration without classes; an uncompressed .tar of
        the like; "digits"; or a data set by prefix, see `timm_dataset.create`. A prefix goes
        before a folder of the same name, which can be written "./hfds/…".
    flag: what error messages call the source ("--data").
    label_space: the outputs of the model, ``Model.label_space``.
    ignore_unknown: for evaluation, leave out classes that the model does not have.
    limit: of a streamed data set, at most so many images are read where labels are not needed.
    reading: how images become RGB, and what is told of warnings; by default as timm reads them.
    reads_text: whether the model reads texts; `source` then is a file of those.

    Raises UserError if there are no images, or none that can serve the role.
    """
    request = SourceRequest(
        source, flag, role, label_space, ignore_unknown, limit, reading or Reading()
    )
    if reads_text:
        return open_texts(Path(source), request)
    if source == "digits":
        return _digits(request)
    prefix = prefix_of(source)
    if prefix is not None:
        return open_dataset(prefix, request)
    path = Path(source)
    # Path.exists raises for a name that is too long.
    if not os.path.exists(source):
        raise UserError(f"{flag}: {source!r} does not exist{_near(source)}; accepted: {ACCEPTED}")
    if path.is_dir():
        return open_folder(path, request)
    if path.suffix == TEXTS:
        raise request.error(f"a file of texts, and the model takes images; accepted: {ACCEPTED}")
    if path.suffix not in BY_SUFFIX:
        raise request.error(f"is neither a folder nor an uncompressed .tar; accepted: {ACCEPTED}")
    return BY_SUFFIX[path.suffix](path, request)


def _digits(request: SourceRequest) -> ListSource:
    from vitquant.data.sources.digits import CLASS_NAMES, digits

    space, outputs = request.label_space, list[int | None](range(len(CLASS_NAMES)))
    if isinstance(space.classes, FolderClasses):
        outputs = match_folders(CLASS_NAMES, request)
    # By number alone: a name such as "7" would also match the eighth class of any other model.
    elif request.role.needs_labels and space.num_classes != len(CLASS_NAMES):
        raise request.error(
            f"has {len(CLASS_NAMES)} classes, but the model has {space.num_classes}; "
            "a model of digits, or a folder of images by the model's classes, is accepted"
        )
    part: Literal["train", "test"] = "train" if request.role.split == "train" else "test"
    known = [(i, output) for i, label in digits(part) if (output := outputs[label]) is not None]
    return ListSource("digits", [i for i, _ in known], [label for _, label in known])


def _near(source: str) -> str:
    """ " (did you mean X?)" if there is something spelled like `source`, else nothing."""
    path = Path(source)
    prefix, slash, rest = source.partition("/")
    known: dict[str, str] = {}
    if not slash:
        known["digits"] = "digits"
    elif rest and (near_prefix := difflib.get_close_matches(prefix, PREFIXES, 1)):
        known[source] = f"{near_prefix[0]}/{rest}"
    with contextlib.suppress(OSError):
        known |= {name: str(path.parent / name) for name in os.listdir(path.parent)}
    for word in (source, path.name):
        if near := difflib.get_close_matches(word, known, 1, cutoff=0.7):
            return f" (did you mean {known[near[0]]}?)"
    return ""
