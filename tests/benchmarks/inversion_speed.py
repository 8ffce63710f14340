"""What inverted images cost, and how well the model itself and another one recognize them.

    python tests/benchmarks/inversion_speed.py --weights DEIT --other vit_tiny_patch16_224 \
        --other-weights VIT --settings "" "iterations=60,patch_drop=0.0"

Adds a row for each of the settings to docs/results/inversion_speed.csv. Recognition by a model that
the images were not made with measures quality that the optimization cannot have aimed at. For rows
of an older program, run this file with PYTHONPATH at a checkout of it. Seconds are of the CPU.
"""

import argparse
import csv
import resource
import tempfile
from pathlib import Path

import torch
from torch import Tensor

import vitquant
from vitquant.data.loader import load_batches
from vitquant.models.sources import load_float
from vitquant.synthesis.generated_source import GeneratedSource

OUT = Path(__file__).parents[2] / "docs" / "results" / "inversion_speed.csv"


def main() -> None:
    options = _parse()
    for text in options.settings:
        given = dict(part.split("=") for part in text.split(",") if part)
        with tempfile.TemporaryDirectory() as folder:
            before = _cpu_seconds()
            made = vitquant.synthesize(
                options.model,
                Path(folder) / "x",
                weights=options.weights,
                synthesizer="inversion",
                samples=options.samples,
                seed=options.seed,
                **{name: _value(value) for name, value in given.items()},
            )
            seconds = _cpu_seconds() - before
            own = recognition(options.model, options.weights, made.images.path)
            other = recognition(options.other, options.other_weights, made.images.path)
        row = {
            "commit": options.commit,
            "model": options.model,
            "settings": text,
            "seed": options.seed,
            "images": options.samples,
            "cpu_seconds": round(seconds, 1),
            "top1": own[0],
            "confidence": own[1],
            "other": options.other,
            "other_top1": other[0],
            "other_confidence": other[1],
            "similarity": made.quality.similarity,
        }
        print(row, flush=True)
        _append(row)


@torch.no_grad()
def recognition(name: str, weights: Path, folder: Path) -> tuple[float, float]:
    """Top-1 of a model on the images of a folder, and its mean probability of their classes."""
    model, images = load_float(name, weights, None), GeneratedSource(folder, "images")
    hits: list[Tensor] = []
    sure: list[Tensor] = []
    for batch, labels in load_batches(images, list(range(len(images))), model.transform(), 16):
        scores = model(batch).softmax(-1)
        hits.append((scores.argmax(-1) == labels).float())
        sure.append(scores.gather(1, labels[:, None])[:, 0])
    return round(torch.cat(hits).mean().item(), 4), round(torch.cat(sure).mean().item(), 4)


def _cpu_seconds() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


def _value(text: str) -> bool | float | int:
    if text in ("True", "False"):
        return text == "True"
    return float(text) if "." in text else int(text)


def _append(row: dict[str, object]) -> None:
    new = not OUT.exists()
    with OUT.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="deit_tiny")
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--other", required=True, help="the model that judges the images too")
    parser.add_argument("--other-weights", type=Path, required=True)
    parser.add_argument("--settings", nargs="+", default=[""], help="NAME=VALUE,…; empty: defaults")
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commit", default="", help="noted in the row")
    return parser.parse_args()


if __name__ == "__main__":
    main()
