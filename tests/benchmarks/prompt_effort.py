"""What learning prompts takes and gives, with and without its end at good enough; appends rows.

    python tests/benchmarks/prompt_effort.py --out docs/results/prompt_effort.csv --seeds 0 1 2

``fixed`` takes all steps. A row has the images with and without gradients, the CPU seconds, metrics
on the images that decide and on drawn ones, and the top-1 of a model calibrated on these.
"""

import argparse
import time
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from rows import append, provenance

import vitquant

WAYS: dict[str, dict[str, float]] = {"fixed": {"target_confidence": 1.0}, "enough": {}}


def main() -> None:
    options = _parse()
    common = provenance() | {"model": options.model}
    for seed, way in product(options.seeds, WAYS):
        append(options.out, common | {"seed": str(seed), "way": way} | _measure(options, seed, way))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="vit_digits")
    parser.add_argument("--out", type=Path, required=True, help="CSV file that gets the rows")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--samples", type=int, default=400, help="images to draw")
    parser.add_argument("--data", default="digits", help="images to evaluate on")
    return parser.parse_args()


def _measure(options: argparse.Namespace, seed: int, way: str) -> dict[str, object]:
    with TemporaryDirectory() as folder:
        path, images = Path(folder) / "prompts.safetensors", Path(folder) / "images"
        start = time.process_time()
        learned = vitquant.learn_prompts(options.model, path, seed=seed, **WAYS[way])
        seconds = time.process_time() - start
        # Other noise than that of the images which decide.
        drawn = vitquant.synthesize(
            options.model, images, prompts=str(path), samples=options.samples, seed=seed + 1000
        )
        quantized = vitquant.quantize(
            options.model, "w4a4", str(images), recipe="quick", seed=seed, samples=options.samples
        )
        quantized.save(checkpoint := Path(folder) / "w4a4.safetensors")
        top1 = vitquant.evaluate(checkpoint, options.data).to_json()["top1"]
    return {
        "steps": learned.spent.steps,
        "images": learned.spent.images,
        "unchanged": learned.spent.unchanged,
        "cpu_seconds": round(seconds, 1),
        "top1": round(learned.after.top1, 4),
        "confidence": round(learned.after.confidence, 4),
        "similarity": round(learned.after.similarity, 4),
        "drawn_top1": round(drawn.quality.top1, 4),
        "drawn_similarity": round(drawn.quality.similarity, 4),
        "quantized_top1": round(top1, 4),
    }


if __name__ == "__main__":
    main()
