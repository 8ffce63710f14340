"""Images of a data set that timm opens by name."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from vitquant.data.image_source import ImageSource, ListSource, Role
from vitquant.data.labels import match_declared
from vitquant.data.reader_source import ReaderSource, keep_known
from vitquant.data.request import Request, first_line
from vitquant.data.scheme import create
from vitquant.data.stream import StreamSource, as_label
from vitquant.data.torchvision_source import TorchvisionSource


def open_dataset(scheme: str, request: Request) -> ImageSource:
    """The images of the data set `request.source`; `create` says how it may be named.

    A streamed set that calibrates is cut off at `request.limit` images.

    Raises UserError if the data set cannot be opened or its labels are of no use for the role.
    """
    dataset, split = create(scheme, request)
    name = f"{request.source} ({split})"
    if scheme == "torch":
        return _torchvision(name, dataset, request)
    if scheme == "hfds":
        return _hub(name, dataset.reader, request)
    return _streamed(name, dataset, request)


def _hub(name: str, reader: Any, request: Request) -> ReaderSource:
    indices: Sequence[int] = range(len(reader))
    labels: list[int] | None
    column = reader.label_key
    labeled = column in reader.dataset.column_names
    labels = [as_label(t, request) for t in reader.dataset[column]] if labeled else None
    ignored: dict[str, int] = {}
    if request.role is Role.EVALUATION:
        indices, labels, ignored = _known(labels or [], _names(reader), request)
    # The lock: Arrow tables are read from one memory map, with state for the format of the output.
    return ReaderSource(name, reader, request, indices, labels, ignored=ignored, exclusive=True)


def _torchvision(name: str, dataset: Any, request: Request) -> TorchvisionSource:
    targets = getattr(dataset, "targets", None)
    if targets is None:
        targets = [dataset[i][1] for i in range(len(dataset))]
    labels = [as_label(target, request) for target in targets]
    indices: Sequence[int] = range(len(labels))
    ignored: dict[str, int] = {}
    if request.role is Role.EVALUATION:
        # ImageNet's classes are tuples of synonyms.
        classes = getattr(dataset, "classes", [])
        names = [c if isinstance(c, str) else ", ".join(c) for c in classes]
        indices, labels, ignored = _known(labels, names, request)
    return TorchvisionSource(name, dataset, request, indices, labels, ignored)


def _streamed(name: str, dataset: Any, request: Request) -> ImageSource:
    if request.role is Role.EVALUATION:
        return StreamSource(name, dataset, request, _declared(_names(dataset.reader), request))
    try:
        samples = list(islice(dataset, request.limit))
    except Exception as error:
        raise request.error(
            f"cannot be read ({first_line(error)}); try again or name another"
        ) from error
    if not samples:
        raise request.error("holds no images; at least one is needed")
    labels = [as_label(target, request) for _, target in samples]
    return ListSource(name, [image.convert("RGB") for image, _ in samples], labels)


def _declared(names: Sequence[str], request: Request) -> list[int | None]:
    """The output for each class number that the data set uses."""
    if names:
        return match_declared(names, request)
    return list(range(request.num_classes))


def _names(reader: Any) -> list[str]:
    number: dict[str, int] = getattr(reader, "class_to_idx", {})
    return sorted(number, key=lambda name: number[name])


def _known(
    targets: Sequence[int], names: Sequence[str], request: Request
) -> tuple[list[int], list[int], dict[str, int]]:
    """`keep_known` for evaluation. Raises UserError if labels are out of range or all missing."""
    output_of = _declared(names, request)
    highest = max(targets, default=-1)
    if highest < 0:
        raise request.error("has no labels; evaluation needs images whose classes are known")
    if highest >= len(output_of):
        raise request.error(
            f"has the label {highest}; labels from 0 to {len(output_of) - 1} are accepted"
        )
    indices, labels, ignored = keep_known(targets, output_of, names)
    if not indices:
        raise request.error("none of its images is of a class that the model has; one is needed")
    return indices, labels, ignored
