"""Images from noise, through nothing but the float model itself.

PSAQ-ViT (arXiv 2203.02250): pixels are optimized by Adam so that the model is sure of a class,
patches are as varied as in a photograph, and neighboring pixels as alike. Each iteration shows the
model another crop of each image.

The schedule goes from easy to hard: from the whole image to small crops.
"""

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from vitquant.config.synthesize import InversionSettings
from vitquant.core.device import compute_dtype
from vitquant.core.hashing import noise, seed_of
from vitquant.models.model import Model
from vitquant.synthesis.inversion.crops import apply_crops, sample_crop
from vitquant.synthesis.inversion.patch_entropy import attention_tokens, similarity_entropy


def invert(
    model: Model,
    attentions: list[str],
    numbers: list[int],
    targets: list[int],
    settings: InversionSettings,
    device: torch.device | str = "cpu",
    on_step: Callable[[str], None] = lambda status: None,
) -> Tensor:
    """Images (B, 3, H, W), uint8, of the size of the model's input.

    Everything random about an image depends on the seed and the image's number alone, so another
    batch changes no more than the rounding of sums.

    Args:
        model: a float model with a classifier, frozen, on ``device``.
        attentions: names of the modules that compute attention products.
        numbers: of the images.
        targets: the class that each is to show.
        on_step: called after each iteration, with the loss terms in words.
    """
    min_crop = settings.min_crop if settings.crops else 1.0
    schedule = Schedule(settings.iterations, settings.lr_cycles, min_crop)
    dtype = compute_dtype(settings.precision, torch.device(device))
    shape = model.input_size
    mean, std = normalization(model, device)
    black, white = -mean / std, (1 - mean) / std
    start = [noise(shape, seed_of(settings.seed, "inversion", n)) for n in numbers]
    images = torch.stack(start).to(device).clamp(black, white).requires_grad_()
    labels = torch.tensor(targets, device=device)
    rngs = [random.Random(seed_of(settings.seed, "views", n)) for n in numbers]
    patch_rng = torch.Generator().manual_seed(seed_of(settings.seed, "patches"))
    optimizer = torch.optim.Adam([images], lr=settings.lr, betas=(0.5, 0.9))
    with attention_tokens(model, attentions) as tokens:
        for iteration in range(settings.iterations):
            optimizer.param_groups[0]["lr"] = settings.lr * schedule.lr_scale(iteration)
            area, jitter = schedule.area(iteration), schedule.jitter(iteration, shape[1])
            crops = [sample_crop(rng, *model.image_size, area, jitter) for rng in rngs]
            tokens.clear()
            inputs = apply_crops(images, crops)
            with torch.autocast(images.device.type, dtype, enabled=dtype != torch.float32):
                logits = model(inputs)
            # Sums, so that what is beside an image does not change its gradient.
            ce = F.cross_entropy(logits.float(), labels, reduction="sum")
            entropy = _entropy(tokens, settings, patch_rng)
            tv_error = (total_variation(images) - settings.tv_target).abs().sum()
            loss = (
                settings.ce_weight * ce
                - settings.entropy_weight * entropy
                + settings.tv_weight * tv_error
            )
            (images.grad,) = torch.autograd.grad(loss, images)
            optimizer.step()
            with torch.no_grad():
                images.clamp_(black, white)
            terms = [float(term.detach()) / len(images) for term in (ce, entropy)]
            on_step(f"cross-entropy {terms[0]:.2f}, patch entropy {terms[1]:.2f}")
    return ((images.detach() * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)


def normalization(model: Model, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, (3, 1, 1) each, that the model's inputs are normalized by."""
    mean, std = (torch.tensor(model.preprocessing[key], device=device) for key in ("mean", "std"))
    return mean.view(-1, 1, 1), std.view(-1, 1, 1)


def total_variation(images: Tensor) -> Tensor:
    """(B,): root mean square difference between neighboring pixels of images (B, C, H, W).

    The mean over the four directions, down, right and both diagonals.
    """
    pairs = (
        (images[..., 1:], images[..., :-1]),
        (images[..., 1:, :], images[..., :-1, :]),
        (images[..., 1:, 1:], images[..., :-1, :-1]),
        (images[..., 1:, :-1], images[..., :-1, 1:]),
    )
    roots = [(a - b).square().mean((1, 2, 3)).sqrt() for a, b in pairs]
    return (roots[0] + roots[1] + roots[2] + roots[3]) / len(pairs)


def _entropy(tokens: list[Tensor], settings: InversionSettings, rng: torch.Generator) -> Tensor:
    """Of the patches of all attentions, summed over the images."""
    total = torch.zeros((), device=tokens[0].device) if tokens else torch.zeros(())
    for patches in tokens:
        count = patches.shape[1]
        if count > settings.patches:
            kept = torch.randperm(count, generator=rng)[: settings.patches].to(patches.device)
            patches = patches[:, kept]
        total = total + similarity_entropy(patches.float(), settings.points).sum()
    return total


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


_WARM_UP = 0.2
# PSAQ-ViT shifts by up to 15 of 224 pixels in the first cycle and 30 in the second.
_JITTER = 15 / 224


@dataclass(frozen=True)
class Schedule:
    """What is done in each iteration, counted from 0, of ``iterations`` in ``lr_cycles`` equal
    parts.

    min_crop: the share of the image's area that is looked at in the last iteration; 1 for the whole
    image throughout.
    """

    iterations: int
    lr_cycles: int
    min_crop: float

    def area(self, iteration: int) -> float:
        """The share of the image's area that is looked at: from 1 down in equal steps of its side.

        DFQ-ViT (arXiv 2507.14481) synthesizes images in order of increasing difficulty, to balance
        global and local features. A whole image is easy; the smaller a part, the harder it is to
        show the class in it.
        """
        progress = iteration / max(1, self.iterations - 1)
        side = 1 + (math.sqrt(self.min_crop) - 1) * progress
        return side * side

    def lr_scale(self, iteration: int) -> float:
        """The learning rate, as a share of its maximum: up a line, down a cosine in each cycle."""
        done, length = self._within(iteration)
        warm_up = max(1, round(_WARM_UP * length))
        if done < warm_up:
            return (done + 1) / warm_up
        return 0.5 * (1 + math.cos(math.pi * (done - warm_up) / max(1, length - warm_up)))

    def jitter(self, iteration: int, side: int) -> int:
        """By how many pixels of ``side`` the image is shifted at most; more in each cycle."""
        return round(_JITTER * side * (1 + self._cycle(iteration)))

    def _cycle(self, iteration: int) -> int:
        return min(self.lr_cycles - 1, iteration * self.lr_cycles // self.iterations)

    def _within(self, iteration: int) -> tuple[int, int]:
        """Iterations done of the cycle, and its length."""
        number = self._cycle(iteration)
        start, end = (-(-self.iterations * n // self.lr_cycles) for n in (number, number + 1))
        return iteration - start, end - start
