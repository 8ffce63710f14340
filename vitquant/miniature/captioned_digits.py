"""Pictures to train the miniature generator on: captions, and digits that look as these say."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import to_tensor

from vitquant.data.sources.digits import CLASS_NAMES
from vitquant.synthesis.diffusion.prompt_text import OBJECT_ADJECTIVES, PHOTO_ADJECTIVES

_ADJECTIVE_SHARE = 0.7
# How far a word moves a property of the picture. A word that is missing here changes nothing.
EFFECTS: dict[str, dict[str, float]] = {
    "bright": {"lift": 0.14},
    "dark": {"gain": -0.2},
    "faded": {"gain": -0.25, "lift": 0.12},
    "blurry": {"blur": 1.0},
    "sharp": {"blur": -0.8},
    "grainy": {"grain": 0.07},
    "close": {"zoom": 0.12},
    "small": {"zoom": -0.16},
    "large": {"zoom": 0.15},
    "thin": {"stroke": -0.5},
    "bold": {"stroke": 0.6},
    "tilted": {"angle": 0.25},
    "wide": {"aspect": 0.13},
    "narrow": {"aspect": -0.15},
}
# The standard deviation of what happens to a property without a word.
_UNASKED = {
    "lift": 0.02,
    "gain": 0.1,
    "blur": 0.3,
    "grain": 0.0,
    "zoom": 0.04,
    "stroke": 0.2,
    "angle": 0.06,
    "aspect": 0.04,
}
_UNASKED_SHARE = 0.5
# A word asks for more or less the same each time.
_LEAST, _MOST = 0.7, 1.2
# Finer grain would be lost between the pixels of the latent image.
_GRAIN_SIDE = 16


class Caption(NamedTuple):
    """A text, the class it asks for, and the adjectives in it."""

    text: str
    label: int
    words: tuple[str, ...]


def caption(label: int, photo: str = "", thing: str = "", digit: bool = False) -> Caption:
    """A text like "a [photo] photo of a [thing] three".

    With `digit` it is "a [photo] photo of the [thing] digit three".
    """
    article, noun = ("the", f"digit {CLASS_NAMES[label]}") if digit else ("a", CLASS_NAMES[label])
    parts = ("a", photo, "photo of", article, thing, noun)
    words = tuple(word for word in (photo, thing) if word)
    return Caption(" ".join(part for part in parts if part), label, words)


def all_captions() -> list[Caption]:
    """Every text that `sample_captions` may give, in a fixed order."""
    photos, things = ("", *PHOTO_ADJECTIVES), ("", *OBJECT_ADJECTIVES)
    labels = range(len(CLASS_NAMES))
    return [caption(*choice) for choice in product(labels, photos, things, (False, True))]


def sample_captions(rng: random.Random) -> list[Caption]:
    """A random caption of each class."""
    return [
        caption(
            label,
            _perhaps(PHOTO_ADJECTIVES, rng),
            _perhaps(OBJECT_ADJECTIVES, rng),
            rng.random() < 0.5,
        )
        for label in range(len(CLASS_NAMES))
    ]


class CaptionedDigits:
    """Labeled digits, of which any number can be sampled for a caption, each time other ones.

    Uses torch's global generator.
    """

    def __init__(self, images: Sequence[tuple[Image.Image, int]]) -> None:
        labels = torch.tensor([label for _, label in images])
        # Red, green and blue are the same.
        gray = torch.stack([to_tensor(image)[:1] for image, _ in images])
        self._by_label = {int(label): gray[labels == label] for label in labels.unique()}

    def sample(self, captions: Sequence[Caption], each: int) -> Tensor:
        """`each` pictures for each caption, (captions * each, 3, S, S) in [-1, 1]."""
        chosen = []
        for caption in captions:
            members = self._by_label[caption.label]
            chosen.append(members[torch.randint(len(members), (each,))])
        words = [caption.words for caption in captions for _ in range(each)]
        return apply_adjectives(torch.cat(chosen), words).mul(2).sub(1).expand(-1, 3, -1, -1)


def apply_adjectives(gray: Tensor, words: Sequence[Sequence[str]]) -> Tensor:
    """Change each picture as its words say, and half of them a little beyond, by chance.

    gray: (N, 1, S, S) in [0, 1], white on black. words: of each picture, the adjectives.
    Returns (N, 1, S, S) in [0, 1].
    """
    look = _sample_look(words)
    gray = _stroke(gray, look["stroke"])
    gray = _warp(gray, look["zoom"], look["aspect"], look["angle"])
    gray = gray + look["blur"] * (_blurred(gray) - gray)
    coarse = torch.randn(len(gray), 1, _GRAIN_SIDE, _GRAIN_SIDE)
    grain = F.interpolate(coarse, size=gray.shape[-2:], mode="bilinear")
    return (look["lift"] + (1 + look["gain"]) * gray + look["grain"] * grain).clamp(0, 1)


def _sample_look(words: Sequence[Sequence[str]]) -> dict[str, Tensor]:
    """Each property of each picture, (N, 1, 1, 1)."""
    shape = (len(words), 1, 1, 1)
    unasked = torch.rand(shape) < _UNASKED_SHARE
    look = {}
    for name, spread in _UNASKED.items():
        asked = torch.tensor([sum(EFFECTS.get(w, {}).get(name, 0.0) for w in ws) for ws in words])
        strength = torch.empty(shape).uniform_(_LEAST, _MOST)
        look[name] = asked.view(shape) * strength + unasked * spread * torch.randn(shape)
    # No word says to which side a digit tilts.
    look["angle"] = look["angle"] * torch.randint(0, 2, shape).mul(2).sub(1)
    return look


def _stroke(gray: Tensor, amount: Tensor) -> Tensor:
    """Lines wider by `amount` of a pixel on each side, or thinner where it is negative."""
    wider = F.max_pool2d(gray, 3, stride=1, padding=1)
    thinner = -F.max_pool2d(-gray, 3, stride=1, padding=1)
    return gray + amount.clamp(min=0) * (wider - gray) - amount.clamp(max=0) * (thinner - gray)


def _warp(gray: Tensor, zoom: Tensor, aspect: Tensor, angle: Tensor) -> Tensor:
    """Enlarged by 1 + `zoom`, width over height by 1 + `aspect`, rotated by `angle` radians."""
    zoom, aspect, angle = zoom.flatten(), aspect.flatten(), angle.flatten()
    stretch = (1 + aspect).sqrt()
    width, height = (1 + zoom) * stretch, (1 + zoom) / stretch
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # affine_grid asks where in the old picture a point of the new one comes from.
    rows = (cos / width, sin / width, zero, -sin / height, cos / height, zero)
    grid = F.affine_grid(torch.stack(rows, dim=1).view(-1, 2, 3), gray.shape, align_corners=False)
    return F.grid_sample(gray, grid, align_corners=False)


def _blurred(gray: Tensor) -> Tensor:
    """Each pixel the mean of the 5 by 5 around it, binomially weighted."""
    line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    kernel = (line[:, None] * line).view(1, 1, 5, 5)
    return F.conv2d(F.pad(gray, (2, 2, 2, 2), mode="replicate"), kernel)


def _perhaps(adjectives: tuple[str, ...], rng: random.Random) -> str:
    return rng.choice(adjectives) if rng.random() < _ADJECTIVE_SHARE else ""
