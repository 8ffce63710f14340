"""Inversion through the decoder of an autoencoder: latents are optimized in place of pixels.

    python tests/benchmarks/latent_inversion.py --decoder taef2_decoder.safetensors \
        --weights DEIT --other vit_tiny_patch16_224 --other-weights VIT --out sheet.png

Does a decoder, which knows what pictures look like, make better calibration images? Prints what
they cost and who recognizes them. Ends at once where there is no decoder (TAEF2, MIT,
github.com/madebyollin/taesd).
"""

import argparse
import random
import resource
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from vitquant.core.hashing import seed_of
from vitquant.models.model import Model
from vitquant.models.sources import load_float
from vitquant.synthesis.inversion.attention import MatmulAttention
from vitquant.synthesis.inversion.crops import apply_crops, sample_crop
from vitquant.synthesis.inversion.optimize import normalization
from vitquant.synthesis.inversion.schedule import Schedule

CHANNELS = 32


class Clamp(nn.Module):
    """Latents within ±3."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 3) * 3


class Block(nn.Module):
    """Three convolutions beside an identity; some see the whole map first."""

    def __init__(self, pooled: bool) -> None:
        super().__init__()
        convs = [nn.Conv2d(64, 64, 3, padding=1) for _ in range(3)]
        self.conv = nn.Sequential(convs[0], nn.ReLU(), convs[1], nn.ReLU(), convs[2])
        if pooled:
            self.pool = nn.Sequential(
                nn.Conv2d(64, 256, 1, bias=False),
                nn.GroupNorm(4, 256),
                nn.ReLU(),
                nn.Conv2d(256, 64, 1, bias=False),
            )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.pool(x) if hasattr(self, "pool") else x
        return F.relu(self.conv(x) + x)


def load_decoder(path: Path) -> nn.Module:
    """Latents (B, 32, h, w) → images (B, 3, 8h, 8w), about 0 to 1."""
    layers: list[nn.Module] = [Clamp(), nn.Conv2d(CHANNELS, 64, 3, padding=1), nn.ReLU()]
    for stage in range(3):
        layers += [Block(pooled=stage == 0) for _ in range(3)]
        layers += [nn.Upsample(scale_factor=2), nn.Conv2d(64, 64, 3, padding=1, bias=False)]
    layers += [Block(pooled=False), nn.Conv2d(64, 3, 3, padding=1)]
    decoder = nn.Sequential(*layers)
    decoder.load_state_dict(load_file(path))
    return decoder.eval().requires_grad_(False)


def invert(
    model: Model, decoder: nn.Module, targets: list[int], iterations: int, lr: float
) -> Tensor:
    """Pixels (B, 3, H, W) from 0 to 1."""
    mean, std = normalization(model, "cpu")
    rng = torch.Generator().manual_seed(0)
    side = model.image_size[0] // 8
    latents = (
        0.5 * torch.randn(len(targets), CHANNELS, side, side, generator=rng)
    ).requires_grad_()
    rngs = [random.Random(seed_of(0, "views", n)) for n in range(len(targets))]
    schedule, labels = Schedule(iterations, 1, 0.3), torch.tensor(targets)
    optimizer = torch.optim.Adam([latents], lr=lr, betas=(0.5, 0.9))
    for step in range(iterations):
        optimizer.param_groups[0]["lr"] = lr * schedule.lr_scale(step)
        area, jitter = schedule.area(step), schedule.jitter(step, model.image_size[0])
        crops = [sample_crop(r, *model.image_size, area, jitter) for r in rngs]
        with torch.autocast("cpu", torch.bfloat16), MatmulAttention():
            images = decoder(latents).float()
            logits = model((apply_crops(images, crops) - mean) / std).float()
        loss = F.cross_entropy(logits, labels, reduction="sum")
        outside = (images - images.clamp(0, 1)).square().mean((1, 2, 3)).sum()
        (latents.grad,) = torch.autograd.grad(loss + 10 * outside, latents)
        optimizer.step()
    with torch.no_grad():
        return torch.cat([decoder(part) for part in latents.split(4)]).clamp(0, 1)


@torch.no_grad()
def recognized(model: Model, pixels: Tensor, targets: list[int]) -> str:
    mean, std = normalization(model, "cpu")
    scores = model(((pixels * 255).round() / 255 - mean) / std).softmax(-1)
    labels = torch.tensor(targets)
    top1, sure = (scores.argmax(-1) == labels).float().mean(), scores.gather(1, labels[:, None])
    return f"top-1 {top1:.1%}, confidence {sure.mean():.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--decoder", type=Path, required=True)
    parser.add_argument("--model", default="deit_tiny")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--other", required=True)
    parser.add_argument("--other-weights", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--out", type=Path, help="a sheet of the images")
    options = parser.parse_args()
    if not options.decoder.exists():
        print(f"{options.decoder} is not there; nothing is measured")
        return
    model = load_float(options.model, options.weights, None)
    model.module.requires_grad_(False)
    classes = list(range(model.num_classes))
    targets = random.Random(seed_of(0, "classes")).sample(classes, len(classes))[: options.samples]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    pixels = invert(model, load_decoder(options.decoder), targets, options.iterations, options.lr)
    seconds = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
    print(f"{seconds / len(targets):.2f} CPU seconds an image")
    print(f"by the model itself: {recognized(model, pixels, targets)}")
    other = load_float(options.other, options.other_weights, None)
    print(f"by {options.other}: {recognized(other, pixels, targets)}")
    if options.out:
        sheet = torch.cat(list(pixels), 2).mul(255).round().to(torch.uint8)
        Image.fromarray(sheet.permute(1, 2, 0).numpy()).save(options.out)


if __name__ == "__main__":
    main()
