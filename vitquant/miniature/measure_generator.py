"""How good the miniature generator is: `python -m vitquant.miniature.measure_generator`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from vitquant.data.image_source import ListSource
from vitquant.data.sources.digits import CLASS_NAMES, digits
from vitquant.models.sources import load_float
from vitquant.models.sources.from_miniature import NAMES
from vitquant.synthesis.diffusion.pipeline import generator_path
from vitquant.synthesis.diffusion.prompt_text import adjective_templates, plain_templates
from vitquant.synthesis.quality import measure

TEXTS: dict[str, Callable[[int], list[str]]] = {
    "plain": plain_templates,
    "described": adjective_templates,
}
_BATCH = 100


def load(folder: Path) -> StableDiffusionPipeline:
    """The pipeline in `folder`, without a progress bar for each image."""
    pipeline = StableDiffusionPipeline.from_pretrained(
        folder, use_safetensors=True, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def generate(
    pipeline: StableDiffusionPipeline, texts: Sequence[str], seed: int = 0
) -> list[Image.Image]:
    """A PIL image for each text, in one step."""
    rng = torch.Generator().manual_seed(seed)
    images: list[Image.Image] = []
    for start in range(0, len(texts), _BATCH):
        some = list(texts[start : start + _BATCH])
        images += pipeline(some, num_inference_steps=1, guidance_scale=0.0, generator=rng).images
    return images


def generate_set(
    pipeline: StableDiffusionPipeline, templates: Sequence[str], seed: int = 0
) -> ListSource:
    """An image of each class for each template, in which "{}" is the class."""
    pairs = [(t.format(name), i) for t in templates for i, name in enumerate(CLASS_NAMES)]
    texts, labels = zip(*pairs, strict=True)
    return ListSource("generated", generate(pipeline, texts, seed), labels)


def report(folder: Path, each: int = 50, seed: int = 0) -> str:
    """A table for both classifiers: top-1, similarity within a class, coverage of the test part."""
    real = ListSource("real", *zip(*digits("test"), strict=True))
    pipeline = load(folder)
    sources = {name: generate_set(pipeline, texts(each), seed) for name, texts in TEXTS.items()}
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    lines = [f"{size} bytes", "classifier   texts      top-1   cosine  coverage"]
    for name in NAMES:
        model = load_float(name)
        for texts, source in (*sources.items(), ("real", real)):
            found = measure(model, source, "cpu", real)
            lines.append(
                f"{name:12} {texts:10} {found.top1:.4f}  {found.similarity:.3f}   "
                f"{found.coverage:.3f}"
            )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Measure the miniature generator.")
    parser.add_argument("--folder", type=Path, default=generator_path(), help="[the bundled one]")
    parser.add_argument("--each", type=int, default=50, help="images of a class [50]")
    parser.add_argument("--seed", type=int, default=0, help="of the noise [0]")
    options = parser.parse_args(arguments)
    print(report(options.folder, options.each, options.seed))


if __name__ == "__main__":
    main()
