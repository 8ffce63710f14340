"""Images in a folder or in a tar, by class or not."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from timm.data.dataset_factory import create_dataset
from timm.data.readers.img_extensions import get_img_extensions
from timm.utils.misc import natural_key

from vitquant.core.errors import first_line
from vitquant.data.image_source import Role, SourceRequest
from vitquant.data.match_labels import match_folders
from vitquant.data.sources.reader import ReaderSource, drop_unknown

# timm does not annotate them.
_extensions: Callable[[], Sequence[str]] = get_img_extensions
_natural_key: Callable[[str], list[int | str]] = natural_key


def open_folder(path: Path, request: SourceRequest) -> ReaderSource:
    """The images under `path`, a folder or an uncompressed .tar; the leaf folder is the class.

    Raises UserError if there are none, or if evaluation cannot tell their classes.
    """
    reader = _reader(path, request)
    folders, targets = _by_folder(reader)
    name = str(reader.root)
    exclusive = path.is_file()
    if request.role is Role.EVALUATION:
        indices, labels, skipped = drop_unknown(targets, match_folders(folders, request), folders)
        return ReaderSource(
            name, reader, request, indices, labels, skipped=skipped, exclusive=exclusive
        )
    labeled = targets if len(folders) > 1 else None
    everything = range(len(targets))
    return ReaderSource(name, reader, request, everything, labeled, skipped={}, exclusive=exclusive)


def _reader(path: Path, request: SourceRequest) -> Any:
    # timm keeps an index of a large tar beside it, as a pickle: neither is wanted.
    options: dict[str, Any] = {"cache_tarinfo": False} if path.is_file() else {}
    try:
        dataset = create_dataset(
            "",
            root=str(path),
            split=request.role.value,
            search_split=_has_splits(path),
            **options,
        )
    except tarfile.TarError as error:
        raise request.error(
            f"not a readable tar ({first_line(error)}); an uncompressed, complete .tar is accepted"
        ) from error
    except (RuntimeError, ValueError) as error:
        # How timm's readers say that they found nothing.
        extensions = ", ".join(_extensions())
        raise request.error(
            f"holds no images; files ending in {extensions} are accepted, in folders by class"
        ) from error
    return dataset.reader


def _has_splits(path: Path) -> bool:
    """Whether `path` holds both a training and a validation set, which must not be mixed.

    One alone may be a class: there are trains among the things to classify.
    """
    return (path / "train").is_dir() and any(
        (path / name).is_dir() for name in ("val", "valid", "validation")
    )


def _by_folder(reader: Any) -> tuple[list[str], list[int]]:
    """Folder names in natural order, and for each sample the rank of its folder among them."""
    in_tar = hasattr(reader, "class_name_to_idx")
    number = reader.class_name_to_idx if in_tar else reader.class_to_idx
    found = reader.targets.tolist() if in_tar else [target for _, target in reader.samples]
    # Ranked again: timm orders names that differ in case alone, or as "1" and "01", by chance.
    folders = sorted(number, key=lambda folder: (_natural_key(folder), folder))
    rank = {number[folder]: i for i, folder in enumerate(folders)}
    return folders, [rank[target] for target in found]
