"""Handwritten digits that come with scikit-learn, as pictures a vision transformer can read.

1,797 real images of 8 by 8 pixels: enough to train, quantize and score a miniature model without
a download.
"""

from __future__ import annotations

from typing import Any, Literal

from PIL import Image

CLASS_NAMES: tuple[str, ...] = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
)
SIDE = 32
TEST_IMAGES = 500

# Part of the meaning of every bundled accuracy: another seed would let trained-on images into
# the test part.
_SPLIT_SEED = 0
_BRIGHTEST = 16


def digits(part: Literal["train", "test"]) -> list[tuple[Image.Image, int]]:
    """One part of the digits, as (image, label) pairs in a fixed order.

    The parts are disjoint and hold the ten classes in the same proportions: 1,297 images to train
    and calibrate on, 500 only to score with. Images are RGB, 32 by 32, 8 bits a channel, a white
    digit on black; labels are 0 to 9, positions in `CLASS_NAMES`.

    Raises:
        ValueError: `part` is neither "train" nor "test".
    """
    if part not in ("train", "test"):
        raise ValueError(f"the digits have the parts 'train' and 'test', not {part!r}")
    # scikit-learn takes about a second to import, and most commands never need it.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    train, test = train_test_split(
        range(len(bunch.target)),
        test_size=TEST_IMAGES,
        stratify=bunch.target,
        random_state=_SPLIT_SEED,
    )
    chosen = train if part == "train" else test
    return [(_picture(bunch.images[index]), int(bunch.target[index])) for index in chosen]


def _picture(values: Any) -> Image.Image:
    """The RGB image of an (8, 8) array of brightness from 0 to 16."""
    gray = Image.fromarray((values * (255 / _BRIGHTEST)).round().astype("uint8"))
    return gray.resize((SIDE, SIDE), Image.Resampling.BICUBIC).convert("RGB")
