"""Images of a data set of the Hugging Face Hub, through timm's reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

from PIL import Image

from vitquant.core.errors import first_line
from vitquant.data.decode import decode, unreadable
from vitquant.data.image_source import SourceRequest


class ReaderSource:
    """Images by index from a timm reader, decoded here.

    indices: which of the reader's samples, in order. labels: one for each of them.
    """

    def __init__(
        self,
        name: str,
        reader: Any,
        request: SourceRequest,
        indices: Sequence[int],
        labels: Sequence[int] | None,
        skipped: Mapping[str, int],
    ) -> None:
        self.name = name
        self.labels = labels
        self.skipped = skipped
        self._reader = reader
        self._request = request
        self._indices = indices
        # Arrow tables are read from one memory map, with state for the format of the output.
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._indices)

    def image(self, i: int) -> Image.Image:
        """Image i, RGB. Raises UserError, with the file's name, if it cannot be read."""
        index, flag = self._indices[i], self._request.flag
        with self._lock:
            try:
                file = self._reader[index][0]
                with file:
                    data = file.read()
            except OSError as error:
                raise unreadable(first_line(error), self._filename(index), flag) from error
            name = self._filename(index)
        return decode(data, name=name, flag=flag, reading=self._request.reading)

    def _filename(self, index: int) -> str:
        file = self._reader.filename(index)
        return f"{self.name}/{file}" if file else f"image {index} of {self.name}"
