"""Random crops and flips that depend on nothing but a seed.

The float model labels whatever it sees, so every step may show it another view of an image. Each
view is drawn from its own generator: the order in which threads reach it does not matter.
"""

import math
import random
from dataclasses import dataclass

from PIL import Image

from vitquant.data.image_source import ImageSource


@dataclass(frozen=True)
class Augmentation:
    """How far a view may differ from the image.

    min_area: the smallest crop, as a fraction of the image's area; 1 shows whole images.
    flip: probability of a horizontal flip.
    """

    min_area: float = 0.4
    flip: float = 0.5


class Views:
    """An image source whose i-th image is a random view, (height, width), of some image.

    Views go through the images in shuffled rounds, so that every image is seen equally often.
    """

    labels = None

    def __init__(
        self,
        source: ImageSource,
        indices: list[int],
        size: tuple[int, int],
        augmentation: Augmentation,
        count: int,
        seed: int,
        resample: Image.Resampling = Image.Resampling.BICUBIC,
    ) -> None:
        self.name = source.name
        self.ignored = source.ignored
        self._source, self._size, self._augmentation = source, size, augmentation
        self._seed, self._resample = seed, resample
        rounds = random.Random(seed)
        self._order: list[int] = []
        while len(self._order) < count:
            self._order += rounds.sample(indices, len(indices))
        del self._order[count:]

    def __len__(self) -> int:
        return len(self._order)

    def image(self, i: int) -> Image.Image:
        draw = random.Random(f"{self._seed}/{i}")
        image = self._source.image(self._order[i])
        box = crop_box(image.size, self._size, self._augmentation.min_area, draw)
        image = image.resize(self._size[::-1], self._resample, box=box)
        if draw.random() < self._augmentation.flip:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return image


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
