"""How the bundled miniature generator was trained: `python -m vitquant.miniature.train_generator`.

It takes about twenty minutes on one core. No classifier has a part in it.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from transformers import CLIPTokenizer

from vitquant.data.sources.digits import digits
from vitquant.miniature.captioned_digits import CaptionedDigits
from vitquant.miniature.captions import all_captions
from vitquant.miniature.generator_files import generator_path
from vitquant.miniature.generator_parts import untrained
from vitquant.miniature.generator_training import train_autoencoder, train_drawing
from vitquant.miniature.generator_words import write_tokenizer
from vitquant.miniature.measure_generator import report

STEPS = 800


def train(images: CaptionedDigits, steps: int = STEPS, seed: int = 0) -> StableDiffusionPipeline:
    """A pipeline trained from nothing: so many steps for the autoencoder, then for drawing.

    The same seed on the same machine and number of threads gives the same weights. Seeds torch's
    global generator.

    Raises:
        ValueError: no step.
    """
    if steps < 1:
        raise ValueError("training needs a step or more")
    torch.manual_seed(seed)
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        _write_words(Path(folder))
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    pipeline = untrained(tokenizer)
    train_autoencoder(pipeline.vae, images, steps, chance)
    train_drawing(pipeline, images, steps, chance)
    return pipeline


def save(pipeline: StableDiffusionPipeline, folder: Path) -> None:
    """Write the pipeline for diffusers; files of the same names are replaced.

    Raises:
        OSError: the folder cannot be written.
    """
    pipeline.save_pretrained(folder)
    # transformers has changed what it writes for both of these, but all its versions read the old.
    shutil.rmtree(folder / "tokenizer")
    _write_words(folder / "tokenizer")
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


def _write_words(folder: Path) -> None:
    write_tokenizer((caption.text for caption in all_captions()), folder)


if __name__ == "__main__":
    main()
