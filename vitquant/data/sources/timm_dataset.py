"""Images of a data set that timm opens by name."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from timm.data.dataset_factory import create_dataset

from vitquant.core.errors import first_line
from vitquant.data.class_names import FolderClasses
from vitquant.data.decode import decode, unreadable
from vitquant.data.image_source import ImageSource, ListSource, SourceRequest
from vitquant.data.match_labels import drop_unknown, match_declared
from vitquant.data.sources.reader import ReaderSource
from vitquant.data.sources.stream import StreamSource, as_label


def open_dataset(prefix: str, request: SourceRequest) -> ImageSource:
    """The images of the data set `request.source`; `create` says how it may be named.

    A streamed set that calibrates is cut off at `request.limit` images.

    Raises UserError if the data set cannot be opened or its labels are of no use for the role.
    """
    dataset, split = create(prefix, request)
    name = f"{request.source} ({split})"
    if prefix == "torch":
        return _torchvision(name, dataset, request)
    if prefix == "hfds":
        return _hub(name, dataset.reader, request)
    return _streamed(name, dataset, request)


def _hub(name: str, reader: Any, request: SourceRequest) -> ReaderSource:
    indices: Sequence[int] = range(len(reader))
    labels: list[int] | None
    column = reader.label_key
    labeled = column in reader.dataset.column_names
    labels = [as_label(t, request) for t in reader.dataset[column]] if labeled else None
    skipped: dict[str, int] = {}
    if request.role.needs_labels:
        indices, labels, skipped = _known(labels or [], _names(reader), request)
    return ReaderSource(name, reader, request, indices, labels, skipped)


def _torchvision(name: str, dataset: Any, request: SourceRequest) -> TorchvisionSource:
    targets = getattr(dataset, "targets", None)
    if targets is None:
        targets = [dataset[i][1] for i in range(len(dataset))]
    labels = [as_label(target, request) for target in targets]
    indices: Sequence[int] = range(len(labels))
    skipped: dict[str, int] = {}
    if request.role.needs_labels:
        # ImageNet's classes are tuples of synonyms.
        classes = getattr(dataset, "classes", [])
        names = [c if isinstance(c, str) else ", ".join(c) for c in classes]
        indices, labels, skipped = _known(labels, names, request)
    return TorchvisionSource(name, dataset, request, indices, labels, skipped)


def _streamed(name: str, dataset: Any, request: SourceRequest) -> ImageSource:
    if request.role.needs_labels:
        return StreamSource(name, dataset, request, _declared(_names(dataset.reader), request))
    rgb = request.reading.rgb
    try:
        samples = [
            (rgb(image, f"image {i}"), target)
            for i, (image, target) in enumerate(islice(dataset, request.limit))
        ]
    except Exception as error:
        raise request.error(
            f"cannot be read ({first_line(error)}); try again or name another"
        ) from error
    if not samples:
        raise request.error("holds no images; at least one is needed")
    labels = [as_label(target, request) for _, target in samples]
    return ListSource(name, [image for image, _ in samples], labels)


def _declared(names: Sequence[str], request: SourceRequest) -> list[int | None]:
    """The output for each class number that the data set uses."""
    if names:
        return match_declared(names, request)
    if isinstance(request.label_space.classes, FolderClasses):
        raise request.error("does not say what its classes are called; one that does is accepted")
    return list(range(request.label_space.num_classes))


def _names(reader: Any) -> list[str]:
    number: dict[str, int] = getattr(reader, "class_to_idx", {})
    return sorted(number, key=lambda name: number[name])


def _known(
    targets: Sequence[int], names: Sequence[str], request: SourceRequest
) -> tuple[list[int], list[int], dict[str, int]]:
    """`drop_unknown` for evaluation. Raises UserError if labels are out of range or all missing."""
    output_of = _declared(names, request)
    highest = max(targets, default=-1)
    if highest < 0:
        raise request.error("has no labels; evaluation needs images whose classes are known")
    if highest >= len(output_of):
        raise request.error(
            f"has the label {highest}; labels from 0 to {len(output_of) - 1} are accepted"
        )
    indices, labels, skipped = drop_unknown(targets, output_of, names)
    if not indices:
        raise request.error("none of its images is of a class that the model has; one is needed")
    return indices, labels, skipped


# Prefix → the modules that its reader imports, and what `pip install` calls them.
PREFIXES: dict[str, dict[str, str]] = {
    "hfds": {"datasets": "datasets"},
    "hfids": {"datasets": "datasets"},
    "tfds": {"tensorflow_datasets": "tensorflow-datasets", "tensorflow": "tensorflow"},
    "wds": {"webdataset": "webdataset"},
    "torch": {},
}

# Images as they are stored, not as timm converts them.
_UNCONVERTED = {"input_img_mode": ""}
# Publishers do not agree on what to call the images that are not for training.
_SPLITS = {"train": ("train",), "validation": ("validation", "val", "test")}


def prefix_of(source: str) -> str | None:
    """The prefix that `source` starts with, in lower case; None if it starts with none."""
    prefix, slash, rest = source.partition("/")
    return prefix.lower() if slash and rest and prefix.lower() in PREFIXES else None


def local_folder(source: str) -> str:
    """The folder that a source by prefix reads, if it is on this machine; any other as it is."""
    prefix = prefix_of(source)
    if prefix is None:
        return source
    root = _arguments(prefix, source, "")[1]
    return root or source.partition("/")[2]


def create(prefix: str, request: SourceRequest) -> tuple[Any, str]:
    """timm's data set for the source, and the split that is read: the role's first that there is.

    Forms: `hfds/OWNER/NAME`; `hfids/OWNER/NAME`, streamed; `tfds/NAME`; `wds/FOLDER` with an
    `_info.json`, or `wds/FOLDER/SHARDS.tar|COUNT`; `torch/NAME`, downloaded to torch's cache, or
    `torch/NAME/FOLDER`.

    Raises UserError if a package is missing or the data set cannot be opened.
    """
    missing = [pip for module, pip in PREFIXES[prefix].items() if find_spec(module) is None]
    if missing:
        raise request.error(
            f"needs {' and '.join(missing)}: pip install {' '.join(missing)}, "
            "or give a folder of images, a .tar or digits"
        )
    splits = _SPLITS[request.role.split]
    failure: Exception | None = None
    for split in splits:
        name, root, options = _arguments(prefix, request.source, split)
        try:
            # timm's readers print advice; the standard output is for results.
            with contextlib.redirect_stdout(sys.stderr):
                return create_dataset(name, root=root, **options), options["split"]
        except (ValueError, KeyError, RuntimeError) as error:
            # A split that does not exist is one of these, depending on the library.
            failure = failure or error
        except Exception as error:
            failure = error
            break
    reason = first_line(failure) if failure else ""
    local = f"; for the local folder write ./{request.source}" * Path(request.source).exists()
    raise request.error(
        f"cannot be opened ({reason}); a data set that timm.data.create_dataset reads is accepted, "
        f"with a split called {' or '.join(splits)}{local}"
    ) from failure


def _arguments(prefix: str, source: str, split: str) -> tuple[str, str | None, dict[str, Any]]:
    """What `create_dataset` takes: name, root, and the rest."""
    rest = source.partition("/")[2]
    if prefix == "torch":
        name, _, folder = rest.partition("/")
        root = folder or str(Path(torch.hub.get_dir()).parent / "datasets")
        return f"torch/{name}", root, {"split": split, "download": not folder}
    if prefix == "wds":
        folder, _, last = rest.rpartition("/")
        if ".tar" in last:
            # timm finds shards by a pattern in place of a split, with the count behind a bar.
            return "wds/shards", folder, {"split": last} | _UNCONVERTED
        return "wds/shards", rest, {"split": split} | _UNCONVERTED
    options: dict[str, Any] = {"split": split, "download": prefix == "tfds"}
    return source, None, options if prefix == "tfds" else options | _UNCONVERTED


class TorchvisionSource:
    """Images by index from a map-style data set of (PIL image, label).

    indices: which of its samples, in order. labels: one for each of them.
    """

    def __init__(
        self,
        name: str,
        dataset: Any,
        request: SourceRequest,
        indices: Sequence[int],
        labels: Sequence[int],
        skipped: Mapping[str, int],
    ) -> None:
        self.name = name
        self.labels: Sequence[int] | None = labels
        self.skipped = skipped
        self._dataset = dataset
        self._request = request
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def image(self, i: int) -> Image.Image:
        """Image i, RGB. Raises UserError, with its file or number, if it cannot be read."""
        index, request = self._indices[i], self._request
        samples = getattr(self._dataset, "samples", None)
        name = samples[index][0] if samples else f"image {index} of {self.name}"
        try:
            if not samples:
                return request.reading.rgb(self._dataset[index][0], name)
            # torchvision's loader converts by itself.
            data = Path(name).read_bytes()
        except (OSError, SyntaxError, ValueError) as error:
            raise unreadable(first_line(error), name, request.flag) from error
        return decode(data, name=name, flag=request.flag, reading=request.reading)
