"""Images in a folder or in a tar, by class or not."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from vitquant.core.errors import first_line
from vitquant.data.decode import decode, unreadable
from vitquant.data.image_source import Role, SourceRequest
from vitquant.data.match_labels import drop_unknown, match_folders
from vitquant.data.sources.files import File, choose_images, in_folder, in_tar

_TRAINING = "train"
_VALIDATION = ("validation", "val", "valid")


class FileSource:
    """Images by index from files, decoded here.

    timm's own `ImageDataset` replaces an image that it cannot read by the next one, which would
    falsify an accuracy without a word.
    """

    def __init__(
        self,
        name: str,
        files: Sequence[File],
        request: SourceRequest,
        labels: Sequence[int] | None,
        skipped: Mapping[str, int],
    ) -> None:
        self.name = name
        self.labels = labels
        self.skipped = skipped
        self._files = files
        self._request = request

    def __len__(self) -> int:
        return len(self._files)

    def image(self, i: int) -> Image.Image:
        """Image i, RGB. Raises UserError, with the file's name, if it cannot be read."""
        file, flag = self._files[i], self._request.flag
        name = f"{self.name}/{file.path}"
        try:
            data = file.read()
        except OSError as error:
            raise unreadable(error.strerror or first_line(error), name, flag) from error
        return decode(data, name=name, flag=flag, reading=self._request.reading)


def open_folder(path: Path, request: SourceRequest) -> FileSource:
    """The images under `path`, a folder or an uncompressed .tar; the leaf folder is the class.

    They are in timm's order. What is no image is passed over, with a warning.

    Raises UserError if there are none, or if evaluation cannot tell their classes.
    """
    root = _part(path, request.role)
    files, passed_over = _images(root, request)
    # Names that differ in case alone, or as "1" and "01", are equal in timm's order.
    folders = sorted({file.folder for file in files}, key=lambda name: (_natural_key(name), name))
    rank = {folder: i for i, folder in enumerate(folders)}
    targets = [rank[file.folder] for file in files]
    if request.role.needs_labels:
        indices, labels, skipped = drop_unknown(targets, match_folders(folders, request), folders)
        source = FileSource(str(root), [files[i] for i in indices], request, labels, skipped)
    else:
        labeled = targets if len(folders) > 1 else None
        source = FileSource(str(root), files, request, labeled, {})
    if passed_over:
        request.reading.warn(f"{request.flag} {root}: {passed_over}")
    return source


def _part(path: Path, role: Role) -> Path:
    """The folder of the role's part, where `path` holds both a training and a validation set.

    They must not be mixed. One alone may be a class: there are trains among the things to classify.
    """
    validation = [path / name for name in _VALIDATION if (path / name).is_dir()]
    if not validation or not (path / _TRAINING).is_dir():
        return path
    return path / _TRAINING if role.split == _TRAINING else validation[0]


def _images(root: Path, request: SourceRequest) -> tuple[list[File], str]:
    try:
        found = in_tar(root) if root.is_file() else in_folder(str(root))
        images, passed_over = choose_images(found)
    except tarfile.TarError as error:
        raise request.error(
            f"not a readable tar ({first_line(error)}); an uncompressed, complete .tar is accepted"
        ) from error
    except OSError as error:
        raise request.error(
            f"{error.filename or root} cannot be read ({error.strerror or first_line(error)}); "
            "files that may be read are accepted"
        ) from error
    if not images:
        raise request.error(
            f"holds no images{passed_over and f' ({passed_over})'}; files that Pillow decodes are "
            "accepted, such as .jpg, .png, .webp, .bmp or .tif, in folders by class"
        )
    return sorted(images, key=lambda file: (_natural_key(file.path), file.path)), passed_over


def _natural_key(name: str) -> list[int | str]:
    """As timm sorts: "2" before "10", whatever the case."""
    parts = re.split(r"(\d+)", name.lower())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)]
