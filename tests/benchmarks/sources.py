"""What calibration images are worth: real, drawn from learned prompts, from texts, and noise.

    python tests/benchmarks/sources.py --records sources.jsonl

Miniatures and digits, so it runs anywhere, offline. Two tables: the accuracy of quantized models by
source, as mean and spread over the seeds, and how well recognised and how varied the images are.
The seed is that of learning, drawing and quantizing.
"""

import argparse
import tempfile
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from records import measured, vitquant_here

MODELS = ("vit_digits", "swin_digits")
BITS = ("w4a4", "w3a3", "w1.58a8")
DRAWN = {"learned": [], "template": ["--template"], "plain text": ["--template", "--no-adjectives"]}
SOURCES = ("digits", "learned", "template", "plain text", "noise")


def main() -> None:
    options = _parse()
    drawn = [
        {"what": "images", "model": m, "source": s, "seed": seed, "samples": options.samples}
        for m, s, seed in product(options.models, DRAWN, options.seeds)
    ]
    quantized = [
        {"what": "accuracy", "model": m, "bits": b, "source": s, "seed": seed}
        | {"steps": options.steps, "samples": options.samples}
        for m, b, s, seed in product(options.models, options.bits, SOURCES, options.seeds)
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = measured(options.records, drawn, lambda run: _draw(run, folder))
        accuracy = measured(options.records, quantized, lambda run: _quantize(run, folder))
    print(_accuracy_table(accuracy, options))
    print()
    print(_image_table(images, options))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--bits", nargs="+", default=BITS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--samples", type=int, default=1000)
    return parser.parse_args()


def _draw(run: dict[str, Any], folder: Path) -> dict[str, Any]:
    out = _folder(run, folder)
    found = vitquant_here(
        "synthesize", run["model"], *DRAWN[run["source"]], "--seed", run["seed"],
        "--samples", run["samples"], "--real-images", "digits", "--out", out,
    )  # fmt: skip
    return {key: found[key] for key in ("top1", "similarity", "coverage")}


def _quantize(run: dict[str, Any], folder: Path) -> dict[str, Any]:
    source = run["source"]
    if source in DRAWN:
        images = _folder(run, folder)
        if not images.exists():
            _draw(run, folder)
        source = str(images)
    out = folder / "quantized.safetensors"
    made = vitquant_here(
        "quantize", run["model"], "--bits", run["bits"], "--calib", source, "--seed", run["seed"],
        "--steps", run["steps"], "--samples", run["samples"], "--no-compile", "--out", out,
    )  # fmt: skip
    scored = vitquant_here("eval", out, "--data", "digits", "--reference", "float")
    kept = {key: scored[key] for key in ("top1", "agreement", "images")}
    return kept | {"float_top1": scored["reference"]["top1"], "seconds": made["seconds"]}


def _folder(run: dict[str, Any], folder: Path) -> Path:
    return folder / f"{run['model']}-{run['source'].replace(' ', '-')}-{run['seed']}"


def _accuracy_table(records: list[dict[str, Any]], options: argparse.Namespace) -> str:
    lines = [
        f"| model | float | bits | {' | '.join(SOURCES)} |",
        f"| --- | --- | --- |{' --- |' * len(SOURCES)}",
    ]
    for model, bits in product(options.models, options.bits):
        of = [r for r in records if (r["model"], r["bits"]) == (model, bits)]
        cells = [_spread([100 * r["top1"] for r in of if r["source"] == s]) for s in SOURCES]
        lines.append(
            f"| `{model}` | {100 * of[0]['float_top1']:.1f} | {bits.upper()} "
            f"| {' | '.join(cells)} |"
        )
    return "\n".join(lines)


def _image_table(records: list[dict[str, Any]], options: argparse.Namespace) -> str:
    lines = [
        "| model | images | recognised % | similarity within a class | coverage % |",
        "| --- | --- | --- | --- | --- |",
    ]
    for model, source in product(options.models, DRAWN):
        of = [r for r in records if (r["model"], r["source"]) == (model, source)]
        lines.append(
            f"| `{model}` | {source} | {_spread([100 * r['top1'] for r in of])} "
            f"| {_spread([r['similarity'] for r in of], 3)} "
            f"| {_spread([100 * r['coverage'] for r in of])} |"
        )
    return "\n".join(lines)


def _spread(values: list[float], digits: int = 1) -> str:
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"


if __name__ == "__main__":
    main()
