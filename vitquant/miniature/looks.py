"""What the adjectives of a text do to a picture, so that the miniature generator can learn them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

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


def dress(grey: Tensor, words: Sequence[Sequence[str]]) -> Tensor:
    """Change each picture as its words say, and half of them a little beyond, by chance.

    grey: (N, 1, S, S) in [0, 1], white on black. words: of each picture, the adjectives.
    Returns (N, 1, S, S) in [0, 1].
    """
    look = _draw(words)
    grey = _stroke(grey, look["stroke"])
    grey = _warp(grey, look["zoom"], look["aspect"], look["angle"])
    grey = grey + look["blur"] * (_blurred(grey) - grey)
    coarse = torch.randn(len(grey), 1, _GRAIN_SIDE, _GRAIN_SIDE)
    grain = F.interpolate(coarse, size=grey.shape[-2:], mode="bilinear")
    return (look["lift"] + (1 + look["gain"]) * grey + look["grain"] * grain).clamp(0, 1)


def _draw(words: Sequence[Sequence[str]]) -> dict[str, Tensor]:
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


def _stroke(grey: Tensor, amount: Tensor) -> Tensor:
    """Lines wider by `amount` of a pixel on each side, or thinner where it is negative."""
    wider = F.max_pool2d(grey, 3, stride=1, padding=1)
    thinner = -F.max_pool2d(-grey, 3, stride=1, padding=1)
    return grey + amount.clamp(min=0) * (wider - grey) - amount.clamp(max=0) * (thinner - grey)


def _warp(grey: Tensor, zoom: Tensor, aspect: Tensor, angle: Tensor) -> Tensor:
    """Enlarged by 1 + `zoom`, width over height by 1 + `aspect`, rotated by `angle` radians."""
    zoom, aspect, angle = zoom.flatten(), aspect.flatten(), angle.flatten()
    stretch = (1 + aspect).sqrt()
    width, height = (1 + zoom) * stretch, (1 + zoom) / stretch
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # affine_grid asks where in the old picture a point of the new one comes from.
    rows = (cos / width, sin / width, zero, -sin / height, cos / height, zero)
    grid = F.affine_grid(torch.stack(rows, dim=1).view(-1, 2, 3), grey.shape, align_corners=False)
    return F.grid_sample(grey, grid, align_corners=False)


def _blurred(grey: Tensor) -> Tensor:
    """Each pixel the mean of the 5 by 5 around it, binomially weighted."""
    line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    kernel = (line[:, None] * line).view(1, 1, 5, 5)
    return F.conv2d(F.pad(grey, (2, 2, 2, 2), mode="replicate"), kernel)
