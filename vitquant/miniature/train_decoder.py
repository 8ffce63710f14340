"""How the tiny decoder of the miniature was trained: `python -m vitquant.miniature.train_decoder`.

It takes a minute or two on one core, and learns to do what the generator's own decoder does.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny, StableDiffusionPipeline
from torch import Tensor

from vitquant.data.sources.digits import digits
from vitquant.miniature.captioned_digits import CaptionedDigits, sample_captions
from vitquant.miniature.generator_parts import CHANNELS
from vitquant.miniature.measure_generator import load
from vitquant.miniature.train_generator import generate_latents, steps_of
from vitquant.synthesis.diffusion.pipeline import generator_path, tiny_decoder_path

STEPS = 400
PEAK_LEARNING_RATE = 1e-2
# Of each caption in a step.
GENERATED, REAL = 4, 4


def untrained(width: int = 8) -> AutoencoderTiny:
    """Random weights from torch's global generator. The encoder is never used."""
    return AutoencoderTiny(
        latent_channels=CHANNELS,
        encoder_block_out_channels=(1, 1, 1),
        decoder_block_out_channels=(width,) * 3,
        num_encoder_blocks=(1, 1, 1),
        num_decoder_blocks=(1, 1, 1),
    )


def train(
    pipeline: StableDiffusionPipeline, images: CaptionedDigits, steps: int = STEPS, seed: int = 0
) -> AutoencoderTiny:
    """A tiny decoder of the pipeline's latents: of those that it generates, and of real digits.

    The same seed on the same machine and number of threads gives the same weights. Seeds torch's
    global generator.
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)
    tiny = untrained()
    for step in steps_of([tiny.decoder], PEAK_LEARNING_RATE, steps):
        latents = _latents(pipeline, images, rng)
        with torch.no_grad():
            target = pipeline.vae.decode(latents).sample
        step(F.mse_loss(tiny.decode(latents).sample, target))
    return tiny


@torch.no_grad()
def error(
    pipeline: StableDiffusionPipeline, tiny: AutoencoderTiny, images: CaptionedDigits
) -> float:
    """Root mean square difference between the images of both decoders, whose values are 0 to 1."""
    torch.manual_seed(1)
    latents = _latents(pipeline, images, random.Random(1))
    difference = tiny.decode(latents).sample - pipeline.vae.decode(latents).sample
    return difference.square().mean().sqrt().item() / 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and write the decoder, and print how far it is from the generator's own."""
    parser = argparse.ArgumentParser(description="Train the miniature's tiny decoder.")
    parser.add_argument(
        "--out", type=Path, default=tiny_decoder_path(), help="[the bundled folder]"
    )
    parser.add_argument("--steps", type=int, default=STEPS, help="[%(default)s]")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    options = parser.parse_args(arguments)
    if options.steps < 1:
        parser.error("--steps must be 1 or more")
    if not options.out.parent.is_dir():
        parser.error(f"--out: there is no folder {options.out.parent}")
    pipeline = load(generator_path())
    tiny = train(pipeline, CaptionedDigits(digits("train")), options.steps, options.seed)
    tiny.save_pretrained(options.out)
    for path in options.out.glob("*.safetensors"):
        path.chmod(0o644)  # they come out readable by their owner alone
    difference = error(pipeline, tiny, CaptionedDigits(digits("test")))
    print(f"root mean square difference {difference:.4f}")


@torch.no_grad()
def _latents(
    pipeline: StableDiffusionPipeline, images: CaptionedDigits, rng: random.Random
) -> Tensor:
    """(10 * (4 + 4), 4, 8, 8): generated ones, then those of real digits."""
    captions = sample_captions(rng)
    generated = generate_latents(pipeline, [caption.text for caption in captions], GENERATED)
    real = pipeline.vae.encode(images.sample(captions, REAL)).latent_dist.sample()
    return torch.cat([generated, real])


if __name__ == "__main__":
    main()
