"""From what a user wrote after `--data` or `--calib` to images."""

from __future__ import annotations

import contextlib
import difflib
import os
from pathlib import Path

from vitquant.core.errors import UserError
from vitquant.data.class_names import ClassNames
from vitquant.data.image_source import ACCEPTED, ImageSource, ListSource, Request, Role
from vitquant.data.sources.folder import open_folder
from vitquant.data.sources.timm_dataset import PACKAGES, open_dataset, scheme_of

__all__ = ["ImageSource", "Role", "open_source"]


def open_source(
    source: str,
    *,
    flag: str,
    classes: ClassNames | None,
    num_classes: int,
    role: Role,
    ignore_unknown: bool = False,
    limit: int = 1024,
) -> ImageSource:
    """Find the images that `source` names, without decoding them yet.

    source: a folder of images by class, or for calibration without classes; an uncompressed .tar of
        the like; "digits"; or a data set by scheme, see `scheme.create`. A scheme goes before a
        folder of the same name, which can be written "./hfds/…".
    flag: what error messages call the source ("--data").
    classes: what the model's outputs are called, if anybody knows.
    num_classes: the number of the model's outputs.
    ignore_unknown: for evaluation, leave out classes that the model does not have.
    limit: of a streamed data set, at most so many images are read for calibration.

    Raises UserError if there are no images, or none that can serve the role.
    """
    request = Request(source, flag, role, classes, num_classes, ignore_unknown, limit)
    if source == "digits":
        return _digits(request)
    scheme = scheme_of(source)
    if scheme is not None:
        return open_dataset(scheme, request)
    path = Path(source)
    # Path.exists raises for a name that is too long.
    if not os.path.exists(source):
        raise UserError(f"{flag}: {source!r} does not exist{_near(source)}; accepted: {ACCEPTED}")
    if path.is_file() and path.suffix != ".tar":
        raise request.error(f"is neither a folder nor an uncompressed .tar; accepted: {ACCEPTED}")
    return open_folder(path, request)


def _digits(request: Request) -> ListSource:
    from vitquant.data.sources.digits import CLASS_NAMES, digits

    evaluating = request.role is Role.EVALUATION
    # By number alone: a name such as "7" would also match the eighth class of any other model.
    if evaluating and request.num_classes != len(CLASS_NAMES):
        raise request.error(
            f"has {len(CLASS_NAMES)} classes, but the model has {request.num_classes}; "
            "a model of digits, or a folder of images by the model's classes, is accepted"
        )
    images, labels = zip(*digits("test" if evaluating else "train"), strict=True)
    return ListSource("digits", images, labels)


def _near(source: str) -> str:
    """ " (did you mean X?)" if there is something spelled like `source`, else nothing."""
    path = Path(source)
    prefix, slash, rest = source.partition("/")
    known: dict[str, str] = {}
    if not slash:
        known["digits"] = "digits"
    elif rest and (scheme := difflib.get_close_matches(prefix, PACKAGES, 1)):
        known[source] = f"{scheme[0]}/{rest}"
    with contextlib.suppress(OSError):
        known |= {name: str(path.parent / name) for name in os.listdir(path.parent)}
    for word in (source, path.name):
        if near := difflib.get_close_matches(word, known, 1, cutoff=0.7):
            return f" (did you mean {known[near[0]]}?)"
    return ""
