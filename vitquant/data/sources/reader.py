"""Images that one of timm's readers finds."""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from threading import Lock
from typing import Any

from PIL import Image

from vitquant.core.errors import first_line
from vitquant.data.decode import decode, unreadable
from vitquant.data.image_source import SourceRequest


class ReaderSource:
    """Images by index from a timm reader (folder, tar, `hfds/…`), decoded here.

    timm's own `ImageDataset` replaces an image that it cannot read by the next one, which would
    falsify an accuracy without a word.

    indices: which of the reader's samples, in order. labels: one for each of them.
    exclusive: read one file at a time, for readers whose files share a position (tar).
    """

    def __init__(
        self,
        name: str,
        reader: Any,
        request: SourceRequest,
        indices: Sequence[int],
        labels: Sequence[int] | None,
        *,
        skipped: Mapping[str, int],
        exclusive: bool,
    ) -> None:
        self.name = name
        self.labels = labels
        self.skipped = skipped
        self._reader = reader
        self._request = request
        self._indices = indices
        self._lock: AbstractContextManager[Any] = Lock() if exclusive else nullcontext()

    def __len__(self) -> int:
        return len(self._indices)

    def image(self, i: int) -> Image.Image:
        """Image i, RGB. Raises UserError, with the file's name, if it cannot be read."""
        index = self._indices[i]
        flag = self._request.flag
        with self._lock:
            try:
                file = self._reader[index][0]
                with file:
                    data = file.read()
            except (OSError, tarfile.TarError) as error:
                raise unreadable(first_line(error), self._filename(index), flag) from error
        return decode(data, name=self._filename(index), flag=flag)

    def _filename(self, index: int) -> str:
        file = self._reader.filename(index)
        return f"{self.name}/{file}" if file else f"image {index} of {self.name}"


def drop_unknown(
    targets: Sequence[int], output_of: Sequence[int | None], names: Sequence[str]
) -> tuple[list[int], list[int], dict[str, int]]:
    """Drop the samples whose class the model does not have.

    targets: (N,) class numbers of a data set, -1 where unknown. output_of, names: for each class
    number the model's output, or None, and what the class is called.

    Returns the indices of the samples kept, their outputs, and the number dropped by class name.
    """
    indices: list[int] = []
    labels: list[int] = []
    skipped: Counter[str] = Counter()
    for index, target in enumerate(targets):
        output = output_of[target] if target >= 0 else None
        if output is not None:
            indices.append(index)
            labels.append(output)
        else:
            skipped[(names[target] or ".") if target >= 0 else "unlabeled"] += 1
    return indices, labels, dict(skipped)
