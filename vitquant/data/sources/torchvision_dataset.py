"""Images of a torchvision data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from vitquant.core.errors import first_line
from vitquant.data.decode import unreadable
from vitquant.data.image_source import SourceRequest


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
        index = self._indices[i]
        try:
            image: Image.Image = self._dataset[index][0].convert("RGB")
            return image
        except (OSError, SyntaxError, ValueError) as error:
            samples = getattr(self._dataset, "samples", None)
            file = samples[index][0] if samples else f"image {index} of {self.name}"
            raise unreadable(first_line(error), file, self._request.flag) from error
