"""Prompts learned through the full decoder, and through a tiny one: time, and what they draw.

    python tests/benchmarks/tiny_decoder.py --out docs/results/tiny_decoder.csv

Images are drawn with the full decoder from either kind of prompts, by the same noise. Seconds are
those of one thread at work on the prompts, without loading.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import rows
import torch

from vitquant.config.synthesize import PromptSettings
from vitquant.core.progress import Silent
from vitquant.models.sources import load_float
from vitquant.synthesis.diffusion.generator import load_generator
from vitquant.synthesis.diffusion.learn_job import PromptLearner
from vitquant.synthesis.diffusion.pipeline import tiny_decoder_path
from vitquant.synthesis.diffusion.prompt_file import PromptMetrics
from vitquant.synthesis.diffusion.prompt_sets import LearnedPrompts
from vitquant.synthesis.diffusion.sample import sample_images
from vitquant.synthesis.job import run
from vitquant.synthesis.quality import Classifier
from vitquant.synthesis.target_classes import target_classes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="CSV file, to which rows are added")
    parser.add_argument("--model", default="vit_digits")
    parser.add_argument("--generator", help="default: the one that goes with the model")
    parser.add_argument("--decoder", default=str(tiny_decoder_path()), help="the bundled one")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--prompts-per-class", type=int, default=5)
    parser.add_argument("--samples", type=int, default=40, help="images drawn of a class")
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    about = rows.provenance()
    for seed in options.seeds:
        for decoder in ("full", options.decoder):
            row = about | _measure(options, decoder, seed)
            rows.append(options.out, row)
            print(row, flush=True)


def _measure(options: argparse.Namespace, decoder: str, seed: int) -> dict[str, object]:
    model = load_float(options.model)
    classes = target_classes(model)
    generator = load_generator(
        options.generator, options.model, "float32", "cpu", Silent(), decoder=decoder
    )
    settings = PromptSettings.build(
        steps=options.steps, prompts_per_class=options.prompts_per_class, seed=seed
    )
    learner = PromptLearner(model, generator, classes, settings)
    begin = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        learned = run(learner, Path(folder) / "prompts.safetensors", Silent())
    seconds = time.process_time() - begin
    drawn = sample_images(
        generator,
        Classifier(model, "cpu"),
        LearnedPrompts(learned),
        classes,
        options.samples,
        seed=seed,
        batch_size=20,
    )
    after = PromptMetrics.mean(prompts.after for prompts in learned.prompts.values())
    images = drawn.images
    return {
        "model": options.model,
        "generator": generator.identity.name,
        "decoder": "full" if decoder == "full" else Path(decoder).name,
        "seed": seed,
        "steps": options.steps,
        "prompts_per_class": options.prompts_per_class,
        "images": len(images),
        "top1": round(sum(image.correct for image in images) / len(images), 6),
        "confidence": round(sum(image.confidence for image in images) / len(images), 6),
        "similarity": round(after.similarity, 6),
        "seconds": round(seconds, 1),
    }


if __name__ == "__main__":
    main()
