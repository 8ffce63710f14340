"""Small pictures of images, as they enter a model."""

import io
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vitquant.models.model import Model
from vitquant.reports.sections.picture import Picture

THUMBNAIL = 112
"""Pixels of the longer side."""
_MODES = {1: "L", 3: "RGB"}


def encode(image: Image.Image, alt: str, longest: int | None = THUMBNAIL) -> Picture:
    """As JPEG. longest: of its sides, in pixels; None leaves it as it is."""
    small = image.convert("RGB")
    if longest is not None:
        side = max(small.size)
        size = [max(1, round(s * longest / side)) for s in small.size]
        # Digits of 32 pixels are to be seen too.
        small = small.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    small.save(data, "JPEG", quality=85)
    return Picture(data.getvalue(), "image/jpeg", *small.size, alt)


class View:
    """Images as a model sees them, resized and cropped, in 8 bits: there and back.

    It is known for transforms that end with a mean and a standard deviation, of one channel or
    three; ``known`` says whether. Otherwise images are only as they lie in the source.
    """

    def __init__(self, model: Model) -> None:
        about = model.preprocessing
        self._transform: Callable[[Any], Tensor] = model.transform()
        self.known = "mean" in about and about["input_size"][0] in _MODES
        if self.known:
            self._mean, self._std = (torch.tensor(about[n]).view(-1, 1, 1) for n in ("mean", "std"))

    def image(self, image: Image.Image) -> Image.Image:
        """From the source to what the model sees."""
        if not self.known:
            return image
        pixels = (self._transform(image) * self._std + self._mean) * 255
        array = pixels.round().clamp(0, 255).to(torch.uint8).numpy()
        return Image.fromarray(array[0] if len(array) == 1 else array.transpose(1, 2, 0))

    def tensor(self, image: Image.Image) -> Tensor:
        """From what the model sees to its input, (C, H, W)."""
        array = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        pixels = array.view(image.height, image.width, -1).permute(2, 0, 1) / 255
        return (pixels - self._mean) / self._std
