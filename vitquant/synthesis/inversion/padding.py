"""What goes round the optimized pixels, so that a model is shown these and no others."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image
from torch import Tensor


def pad_for_transform(pixels: Tensor, preprocessing: Mapping[str, Any]) -> Image.Image:
    """The picture whose evaluation transform resizes nothing and crops to ``pixels``.

    Most models are shown the middle of an image. What goes round it here continues the image beyond
    its edges, as the shifts during its optimization did.

    pixels: (3, H, W) uint8, of the size of the model's input. preprocessing: see
    :class:`vitquant.models.model.Model`.
    """
    for dim in (1, 2):
        size = pixels.shape[dim]
        whole = _resized(size, preprocessing)
        before = round((whole - size) / 2.0)  # as torchvision's CenterCrop rounds
        at = (torch.arange(whole) - before) % size
        pixels = pixels.index_select(dim, at.to(pixels.device))
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())


def _resized(size: int, preprocessing: Mapping[str, Any]) -> int:
    """What timm resizes an image to before it crops to ``size``."""
    if preprocessing.get("crop_mode", "center") != "center":
        return size
    return math.floor(size / (preprocessing.get("crop_pct") or 1.0))
