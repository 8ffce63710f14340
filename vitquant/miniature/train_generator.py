"""How the bundled miniature generator was trained: `python -m vitquant.miniature.train_generator`.

It takes about twenty minutes on one core. No classifier has a part in it.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, StableDiffusionPipeline
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from transformers import CLIPTokenizer

from vitquant.data.sources.digits import digits
from vitquant.miniature.captioned_digits import CaptionedDigits, all_captions, sample_captions
from vitquant.miniature.drift import drift
from vitquant.miniature.generator_parts import CHANNELS, LATENT_SIDE, untrained, write_tokenizer
from vitquant.miniature.measure_generator import report
from vitquant.synthesis.diffusion.pipeline import generator_path

STEPS = 800
PEAK_LEARNING_RATES = {"autoencoder": 3e-3, "generation": 2e-3}
WARM_UP = 0.1
WEIGHT_DECAY = 1e-4
GRADIENT_NORM = 1.0
# In steps of ten captions, one of each class.
PICTURES = 4
# Small: the decoder must forgive the U-Net small errors, but lose nothing of the picture.
KL_WEIGHT = 5e-4
# Of each caption in a step. Real ones are cheap, and the more there are, the nearer is the nearest.
GENERATED, REAL = 16, 32


def train(images: CaptionedDigits, steps: int = STEPS, seed: int = 0) -> StableDiffusionPipeline:
    """A pipeline trained from nothing: so many steps for the autoencoder, then for generation.

    The same seed on the same machine and number of threads gives the same weights. Seeds torch's
    global generator.

    Raises:
        ValueError: no step.
    """
    if steps < 1:
        raise ValueError("training needs a step or more")
    torch.manual_seed(seed)
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        _write_tokenizer(Path(folder))
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    pipeline = untrained(tokenizer)
    train_autoencoder(pipeline.vae, images, steps, rng)
    train_generation(pipeline, images, steps, rng)
    return pipeline


def train_autoencoder(
    vae: AutoencoderKL, digits: CaptionedDigits, steps: int, rng: random.Random
) -> None:
    """Learn to put images into latents and back, by squared error; then stay as it is."""
    for step in steps_of([vae], PEAK_LEARNING_RATES["autoencoder"], steps):
        pictures = digits.sample(sample_captions(rng), PICTURES)
        latents = vae.encode(pictures).latent_dist
        error = F.mse_loss(vae.decode(latents.sample()).sample, pictures)
        step(error + KL_WEIGHT * latents.kl().mean() / latents.mean[0].numel())
    vae.eval().requires_grad_(False)


def train_generation(
    pipeline: StableDiffusionPipeline, digits: CaptionedDigits, steps: int, rng: random.Random
) -> None:
    """Learn to turn texts and noise into latents in one step, as varied as those of the digits."""
    trained = [pipeline.text_encoder, pipeline.unet]
    for step in steps_of(trained, PEAK_LEARNING_RATES["generation"], steps):
        captions = sample_captions(rng)
        with torch.no_grad():
            real = pipeline.vae.encode(digits.sample(captions, REAL)).latent_dist.mean
        generated = generate_latents(pipeline, [caption.text for caption in captions], GENERATED)
        generated = generated.reshape(len(captions), GENERATED, -1)
        target = generated.detach() + drift(generated, real.reshape(len(captions), REAL, -1))
        step(F.mse_loss(generated, target))


def save(pipeline: StableDiffusionPipeline, folder: Path) -> None:
    """Write the pipeline for diffusers; files of the same names are replaced.

    Raises:
        OSError: the folder cannot be written.
    """
    pipeline.save_pretrained(folder)
    # transformers has changed what it writes for both of these, but all its versions read the old.
    shutil.rmtree(folder / "tokenizer")
    _write_tokenizer(folder / "tokenizer")
    weights = folder / "text_encoder" / "model.safetensors"
    state = load_file(weights)
    old = {f"text_model.{key.removeprefix('text_model.')}": state[key] for key in state}
    weights.write_bytes(to_bytes(old, {"format": "pt"}))
    for path in folder.rglob("*.safetensors"):
        # They come out readable by their owner alone, which is no use in a package.
        path.chmod(0o644)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, write and measure the generator."""
    parser = argparse.ArgumentParser(description="Train the miniature text-to-image generator.")
    parser.add_argument("--out", type=Path, default=generator_path(), help="[the bundled folder]")
    parser.add_argument("--steps", type=int, default=STEPS, help="of each stage [%(default)s]")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    options = parser.parse_args(arguments)
    if options.steps < 1:
        parser.error("--steps must be 1 or more")
    if not options.out.parent.is_dir():
        parser.error(f"--out: there is no folder {options.out.parent}")
    pipeline = train(CaptionedDigits(digits("train")), options.steps, options.seed)
    save(pipeline, options.out)
    print(report(options.out))


def generate_latents(pipeline: StableDiffusionPipeline, texts: list[str], each: int) -> Tensor:
    """`each` latents for each text, (texts * each, 4, 8, 8), by what the pipeline will do."""
    tokens = pipeline.tokenizer(
        texts,
        padding="max_length",
        max_length=pipeline.tokenizer.model_max_length,
        return_tensors="pt",
    )
    prompt_embeds = pipeline.text_encoder(tokens.input_ids)[0].repeat_interleave(each, dim=0)
    scheduler = pipeline.scheduler
    scheduler.set_timesteps(1)
    time = scheduler.timesteps[0]
    noise = (
        torch.randn(len(prompt_embeds), CHANNELS, LATENT_SIDE, LATENT_SIDE)
        * scheduler.init_noise_sigma
    )
    predicted = pipeline.unet(
        scheduler.scale_model_input(noise, time), time, encoder_hidden_states=prompt_embeds
    ).sample
    return scheduler.step(predicted, time, noise).prev_sample


def steps_of(
    modules: list[nn.Module], peak: float, steps: int
) -> Iterator[Callable[[Tensor], None]]:
    """So many times what takes a loss and makes a step, under AdamW and one cosine cycle."""
    parameters = [p for module in modules for p in module.train().parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=peak, betas=(0.9, 0.99), weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=peak,
        # One more than is taken, so that even a run of a single step has a rise and a fall.
        total_steps=steps + 1,
        pct_start=WARM_UP,
        cycle_momentum=False,
    )

    def step(loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, GRADIENT_NORM)
        optimizer.step()
        schedule.step()

    for _ in range(steps):
        yield step
    for module in modules:
        module.eval()


def _write_tokenizer(folder: Path) -> None:
    write_tokenizer((caption.text for caption in all_captions()), folder)


if __name__ == "__main__":
    main()
