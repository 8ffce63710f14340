"""The model's own preprocessing as a network, so that raw images can be the input of a graph.

timm's transform resizes with Pillow, which blurs before it shrinks and rounds to whole brightness
levels after each direction. Runtimes' own resizing differs from that, and from each other's. Here
each direction is a product with a matrix of Pillow's weights, which is the same everywhere.
"""

import math
from typing import Any, cast

import torch
from torch import Tensor, nn

from vitquant.core.errors import UserError


def _bicubic(t: Tensor) -> Tensor:
    near = (1.5 * t - 2.5) * t * t + 1
    far = ((2.5 - 0.5 * t) * t - 4) * t + 2
    return torch.where(t < 1, near, torch.where(t < 2, far, 0.0))


def _bilinear(t: Tensor) -> Tensor:
    return (1 - t).clamp(min=0)


# By timm's name: Pillow's weight at a distance t >= 0, in pixels of the smaller image.
_FILTERS = {"bicubic": _bicubic, "bilinear": _bilinear}
_MODES = ("center", "squash")


class Preprocessing(nn.Module):
    """uint8 RGB images (N, H, W, 3) of any one size → (N, 3, h, w) float32 for the model.

    Args:
        settings: the arguments of ``timm.data.create_transform``.

    Raises:
        UserError: the settings have no such form.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        _check(settings)
        self.size = tuple(settings["input_size"][1:])
        # The size of the whole image, of which the crop is a part.
        self.scaled = tuple(math.floor(side / settings["crop_pct"]) for side in self.size)
        self.keeps_aspect = settings.get("crop_mode") != "squash"
        self.filter = _FILTERS[settings["interpolation"]]
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(settings[name]).view(3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[1:3]
        x = images.permute(0, 3, 1, 2).to(torch.float32)
        h, w = self._resized(height, width)
        # Pillow works on the rows first.
        x = _whole(x @ self._weights(width, w, self.size[1]).mT)
        x = _whole(self._weights(height, h, self.size[0]) @ x)
        return (x / 255 - self.mean) / self.std

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        """The size of the whole resized image."""
        if not self.keeps_aspect:
            return self.scaled
        short = torch.sym_min(height, width)
        return self.scaled[0] * height // short, self.scaled[1] * width // short

    def _weights(self, before: int, after: int, kept: int) -> Tensor:
        """(kept, before): what each pixel counts for the middle ``kept`` of ``after`` pixels."""
        margin = after - kept
        # Python rounds a half to the even neighbor, and torchvision with it.
        start = margin // 2 + margin % 4 // 3
        centers = 2 * (torch.arange(kept) + start) + 1
        pixels = 2 * torch.arange(before) + 1
        # In halves of a pixel of an image as large as both sizes multiplied, all is whole numbers.
        distance = (pixels * after - centers[:, None] * before).abs().to(torch.float32)
        larger = cast(int, torch.sym_max(before, after))  # of sizes that are symbols in a trace
        weights = self.filter(distance / (2 * larger))
        return weights / weights.sum(1, keepdim=True)


def _whole(x: Tensor) -> Tensor:
    """To the nearest level of brightness."""
    return (x + 0.5).floor().clamp(0, 255)


def _check(settings: dict[str, Any]) -> None:
    if "mean" not in settings or settings["input_size"][0] != 3:
        raise UserError(
            "--with-preprocessing: the transform is a function in Python, or not for RGB; a "
            "dictionary of arguments of timm.data.create_transform for three channels is accepted"
        )
    interpolation, mode = settings["interpolation"], settings.get("crop_mode") or "center"
    height, width = settings["input_size"][1:]
    if interpolation not in _FILTERS:
        raise UserError(
            f"--with-preprocessing: the model resizes with {interpolation!r} interpolation; "
            f"{' and '.join(_FILTERS)} are accepted"
        )
    if mode not in _MODES:
        raise UserError(
            f"--with-preprocessing: the model crops with mode {mode!r}; {' and '.join(_MODES)} "
            f"are accepted"
        )
    if settings["crop_pct"] > 1 or (mode == "center" and height != width):
        raise UserError(
            "--with-preprocessing: the model's input is larger than the resized image, or not "
            "square; crop_pct of at most 1 and square inputs are accepted"
        )
