"""Random views of images that depend on nothing but a seed.

The float model labels whatever it sees, so every step may show it another view of an image. Each
view is drawn from its own generator: the order in which threads reach it does not matter.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageEnhance

from vitquant.data.image_source import ImageSource


@dataclass(frozen=True)
class Augmentation:
    """How far a view may differ from the image.

    min_area: the smallest crop, as a fraction of the image's area; 1 shows whole images.
    flip: probability of a horizontal flip.
    color: how far brightness, contrast and saturation may each be multiplied, up or down.
    mixup: probability that the view is blended with one of another image (Zhang et al.,
        arXiv 1710.09412), which weighs up to one half.
    cutmix: probability that a square of 10 to 50% of its area shows another image (Yun et al.,
        arXiv 1905.04899).
    """

    min_area: float = 0.4
    flip: float = 0.5
    color: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0


class Views:
    """An image source whose i-th image is a random view, (height, width), of some image.

    Texts, which have no size, stay as they are.

    Views go through the images in shuffled rounds, so that every image is seen equally often.

    Args:
        indices: images of ``source`` to show.
        count: views in all.
        recurring: different views of each image, after which they come again; 0 for a new one
            every time.
    """

    labels: Sequence[int] | None = None

    def __init__(
        self,
        source: ImageSource,
        indices: list[int],
        size: tuple[int, int] | None,
        augmentation: Augmentation,
        count: int,
        seed: int,
        resample: Image.Resampling = Image.Resampling.BICUBIC,
        recurring: int = 0,
    ) -> None:
        self.name = source.name
        self.skipped = source.skipped
        self._source, self._size, self._augmentation = source, size, augmentation
        self._seed, self._resample = seed, resample
        self._round, self._recurring = len(indices), recurring
        rounds = random.Random(seed)
        self._order: list[int] = []
        while len(self._order) < count:
            self._order += rounds.sample(indices, len(indices))
        del self._order[count:]

    def __len__(self) -> int:
        return len(self._order)

    def key(self, i: int) -> tuple[int, int]:
        """Which image view i is of, and which of its views. Views of the same key are the same."""
        number = i // self._round
        return self._order[i], number % self._recurring if self._recurring else number

    def image(self, i: int) -> Any:
        index, number = self.key(i)
        if self._size is None:
            return self._source.image(index)
        draw = random.Random(f"{self._seed}/{index}/{number}")
        view = self._view(index, draw)
        if draw.random() < self._augmentation.mixup:
            view = Image.blend(view, self._another(draw), draw.uniform(0, 0.5))
        if draw.random() < self._augmentation.cutmix:
            box = rand_bbox(view.size, draw)
            view.paste(self._another(draw).crop(box), box)
        return view

    def _another(self, draw: random.Random) -> Image.Image:
        return self._view(draw.choice(self._order[: self._round]), draw)

    def _view(self, index: int, draw: random.Random) -> Image.Image:
        """One image, cropped, flipped, its colors changed."""
        assert self._size is not None
        image = self._source.image(index)
        box = crop_box(image.size, self._size, self._augmentation.min_area, draw)
        image = image.resize(self._size[::-1], self._resample, box=box)
        if draw.random() < self._augmentation.flip:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self._augmentation.color:
            for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
                factor = 1 + draw.uniform(-1, 1) * self._augmentation.color
                image = change(image).enhance(factor)
        return image


def rand_bbox(image: tuple[int, int], draw: random.Random) -> tuple[int, int, int, int]:
    """A random box of 10 to 50% of an image of (width, height), of the image's own shape."""
    side = math.sqrt(draw.uniform(0.1, 0.5))
    w, h = (max(1, round(extent * side)) for extent in image)
    left, top = draw.randint(0, image[0] - w), draw.randint(0, image[1] - h)
    return left, top, left + w, top + h


def crop_box(
    image: tuple[int, int], size: tuple[int, int], min_area: float, draw: random.Random
) -> tuple[float, float, float, float]:
    """A random box (left, top, right, bottom) in an image of (width, height).

    Its area is at least ``min_area`` of the largest box of the view's shape, its aspect within a
    factor of 4/3 of the view's (height, width), as in Inception's training crops.
    """
    width, height = image
    stretch = 1.0 if min_area >= 1 else math.exp(draw.uniform(-1, 1) * math.log(4 / 3))
    aspect = size[1] / size[0] * stretch
    w = min(width, height * aspect)
    h = w / aspect
    shrink = math.sqrt(draw.uniform(min(min_area, 1.0), 1.0))
    w, h = w * shrink, h * shrink
    left, top = draw.uniform(0, width - w), draw.uniform(0, height - h)
    return left, top, left + w, top + h
