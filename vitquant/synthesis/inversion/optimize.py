"""Images from noise, through nothing but the float model itself.

PSAQ-ViT (arXiv 2203.02250): pixels are optimised by Adam so that the model is sure of a class,
patches are as varied as in a photograph, and neighbouring pixels as alike. Each iteration shows the
model another view of each image.
"""

import math
import random
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from vitquant.core.seeds import noise, seed_of
from vitquant.methods.arithmetic import product_dtype
from vitquant.models.model import Model
from vitquant.synthesis.inversion.crops import draw_axes, show
from vitquant.synthesis.inversion.patch_entropy import attention_tokens, similarity_entropy
from vitquant.synthesis.settings import InversionSettings


def invert(
    model: Model,
    attentions: list[str],
    numbers: list[int],
    targets: list[int],
    settings: InversionSettings,
    device: torch.device | str = "cpu",
    tick: Callable[[str], None] = lambda status: None,
) -> Tensor:
    """Images (B, 3, H, W), uint8, of the size of the model's input.

    Everything random about an image depends on the seed and the image's number alone, so another
    batch changes no more than the rounding of sums.

    Args:
        model: a float model with a classifier, frozen, on ``device``.
        attentions: names of the modules that compute attention products.
        numbers: of the images.
        targets: the class that each is to show.
        tick: called after each iteration.
    """
    module, schedule = model.module, settings.schedule
    dtype = product_dtype(settings.precision, torch.device(device))
    shape = model.input_size
    mean, std = normalisation(model, device)
    black, white = -mean / std, (1 - mean) / std
    start = [noise(shape, seed_of(settings.seed, "inversion", n)) for n in numbers]
    images = torch.stack(start).to(device).clamp(black, white).requires_grad_()
    wanted = torch.tensor(targets, device=device)
    draws = [random.Random(seed_of(settings.seed, "views", n)) for n in numbers]
    chosen = torch.Generator().manual_seed(seed_of(settings.seed, "patches"))
    optimizer = torch.optim.Adam([images], lr=settings.lr, betas=(0.5, 0.9))
    with attention_tokens(module, attentions) as tokens:
        for iteration in range(settings.iterations):
            optimizer.param_groups[0]["lr"] = settings.lr * schedule.rate(iteration)
            area, jitter = schedule.area(iteration), schedule.jitter(iteration, shape[1])
            views = [draw_axes(draw, *shape[1:], area, jitter) for draw in draws]
            tokens.clear()
            seen = show(images, views)
            with torch.autocast(images.device.type, dtype, enabled=dtype != torch.float32):
                logits = module(seen)
            # Sums, so that what is beside an image does not change its gradient.
            hit = F.cross_entropy(logits.float(), wanted, reduction="sum")
            varied = sum(_entropies(tokens, settings, chosen))
            rough = (total_variation(images) - settings.variation).abs().sum()
            loss = (
                settings.class_weight * hit
                - settings.entropy_weight * varied
                + settings.variation_weight * rough
            )
            (images.grad,) = torch.autograd.grad(loss, images)
            optimizer.step()
            with torch.no_grad():
                images.clamp_(black, white)
            sure, rich = (float(term.detach()) / len(images) for term in (hit, varied))
            tick(f"class {sure:.2f}, patches {rich:.2f}")
    return ((images.detach() * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)


def normalisation(model: Model, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, (3, 1, 1) each, that the model's inputs are normalised by."""
    mean, std = (torch.tensor(model.preprocessing[key], device=device) for key in ("mean", "std"))
    return mean.view(-1, 1, 1), std.view(-1, 1, 1)


def total_variation(images: Tensor) -> Tensor:
    """(B,): root mean square difference between neighbouring pixels of images (B, C, H, W).

    The mean over the four directions, down, right and both diagonals.
    """
    pairs = (
        (images[..., 1:], images[..., :-1]),
        (images[..., 1:, :], images[..., :-1, :]),
        (images[..., 1:, 1:], images[..., :-1, :-1]),
        (images[..., 1:, :-1], images[..., :-1, 1:]),
    )
    return sum((a - b).square().mean((1, 2, 3)).sqrt() for a, b in pairs) / len(pairs)


def _entropies(
    tokens: list[Tensor], settings: InversionSettings, chosen: torch.Generator
) -> list[Tensor]:
    """Of each attention's patches, summed over the images."""
    found = []
    for patches in tokens:
        count = patches.shape[1]
        if count > settings.patches:
            kept = torch.randperm(count, generator=chosen)[: settings.patches].to(patches.device)
            patches = patches[:, kept]
        found.append(similarity_entropy(patches.float(), settings.points).sum())
    return found


def framed(pixels: Tensor, preprocessing: Mapping[str, Any]) -> Image.Image:
    """The picture whose evaluation transform resizes nothing and crops to ``pixels``.

    Most models are shown the middle of an image. What goes round it here continues the image beyond
    its edges, as the shifts during its optimisation did.

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
