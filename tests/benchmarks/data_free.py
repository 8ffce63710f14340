"""Methods by what they are calibrated on: noise, inverted images, real images.

    python tests/benchmarks/data_free.py --records data_free.jsonl --images FOLDER \
        --weights FILE --calib DIR --data DIR

The table of docs/results.md. Inverted images are made first and stay in FOLDER. The seed is that of
inverting, of choosing real images, and of quantizing. Runs that the file of records already holds
are not repeated, so an interrupted table goes on; seeds come one after the other, so that it can be
read before it is complete.
"""

import argparse
import os
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from records import measured, vitquant_here

INVERTED = {"plain inversion": ["--no-crops"], "easy to hard": []}
SOURCES = ("noise", *INVERTED, "real")
METHODS = {
    "rtn": ["--method", "rtn"],
    "repq": ["--method", "repq"],
    "dfq": ["--method", "dfq", "--correct-bias"],
    "dfq, weights alone": ["--method", "dfq", "--no-correct-bias"],
    "dfq, reparameterised": ["--method", "dfq", "--correct-bias", "--reparameterize"],
    "joint": ["--method", "joint", "--no-compile"],
    "joint from dfq": ["--method", "joint", "--no-compile", "--start", "dfq"],
}
BITS = ("w3a8", "w4a8", "w4a4")


def main() -> None:
    options = _parse()
    data = _part(options.data, options.every, options.images / f"every-{options.every}")
    inverted = [
        {"what": "images", "model": options.model, "source": source, "seed": seed}
        | {"samples": options.samples, "iterations": options.iterations}
        for seed, source in product(options.seeds, INVERTED)
        if source in options.sources
    ]
    images = measured(options.records, inverted, lambda run: _invert(run, options))
    scored = [{"what": "float", "model": options.model, "every": options.every}]
    (reference,) = measured(
        options.records, scored, lambda run: _score(options.model, data, options)
    )
    runs = [
        {"what": "accuracy", "model": options.model, "bits": bits, "method": method}
        | {"source": source, "seed": seed, "every": options.every, "samples": options.samples}
        | ({"steps": options.steps} if method.startswith("joint") else {})
        | ({} if source not in INVERTED else {"iterations": options.iterations})
        for seed, bits, method, source in product(
            options.seeds, options.bits, options.methods, options.sources
        )
    ]
    found = measured(options.records, runs, lambda run: _quantize(run, data, options))
    print(f"float: {100 * reference['top1']:.2f} on {reference['images']} images\n")
    print(_accuracy_table(found, options))
    print()
    print(_image_table(images))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="where inverted images stay")
    parser.add_argument("--model", default="deit_tiny")
    parser.add_argument("--weights", help="float weights; by default those that the name means")
    parser.add_argument("--calib", default="digits", help="real images to calibrate on")
    parser.add_argument("--data", default="digits", help="images to score")
    parser.add_argument("--every", type=int, default=1, help="score each so many images alone")
    parser.add_argument("--bits", nargs="+", default=BITS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS)[:3])
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=SOURCES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--steps", type=int, default=50, help="of joint, 16 images each")
    return parser.parse_args()


def _part(data: str, every: int, folder: Path) -> str:
    """A folder of links to each so many files of a folder by class."""
    if every == 1:
        return data
    for file in sorted(Path(data).glob("*/*"))[::every]:
        link = folder / file.parent.name / file.name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            os.symlink(file.resolve(), link)
    return str(folder)


def _weights(options: argparse.Namespace) -> list[str]:
    return ["--weights", options.weights] if options.weights else []


def _folder(run: dict[str, Any], options: argparse.Namespace) -> Path:
    name = f"{run['source'].replace(' ', '-')}-{run['seed']}"
    return options.images / f"{run['model']}-{name}-{run['samples']}x{run['iterations']}"


def _invert(run: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    options.images.mkdir(parents=True, exist_ok=True)
    begun = os.times()
    made = vitquant_here(
        "synthesize", run["model"], *_weights(options), "--inversion", *INVERTED[run["source"]],
        "--seed", run["seed"], "--samples", run["samples"], "--iterations", run["iterations"],
        "--yes", "--out", _folder(run, options),
    )  # fmt: skip
    ended = os.times()
    return {
        "top1": made["top1"],
        "seconds": ended.elapsed - begun.elapsed,
        "cpu_seconds": ended.user - begun.user,
    }


def _quantize(run: dict[str, Any], data: str, options: argparse.Namespace) -> dict[str, Any]:
    sources = {"noise": "noise", "real": options.calib}
    calib = sources.get(run["source"]) or _folder(run, options)
    out = options.images / "quantized.safetensors"
    steps = ["--steps", run["steps"], "--batch-size", 16] if "steps" in run else []
    begun = os.times()
    made = vitquant_here(
        "quantize", run["model"], *_weights(options), "--bits", run["bits"],
        *METHODS[run["method"]], *steps, "--calib", calib, "--samples", run["samples"],
        "--seed", run["seed"], "--out", out,
    )  # fmt: skip
    cpu = os.times().user - begun.user
    return _score(out, data, options) | {"seconds": made["seconds"], "cpu_seconds": cpu}


def _score(model: object, data: str, options: argparse.Namespace) -> dict[str, Any]:
    weights = _weights(options) if model == options.model else []
    scored = vitquant_here("eval", model, *weights, "--data", data)
    return {"top1": scored["top1"], "images": scored["images"]}


def _accuracy_table(records: list[dict[str, Any]], options: argparse.Namespace) -> str:
    lines = [
        f"| bits | method | {' | '.join(options.sources)} | CPU seconds |",
        f"| --- | --- |{' --- |' * len(options.sources)} --- |",
    ]
    for bits, method in product(options.bits, options.methods):
        of = [r for r in records if (r["bits"], r["method"]) == (bits, method)]
        cells = [
            _spread([100 * r["top1"] for r in of if r["source"] == s]) for s in options.sources
        ]
        seconds = mean(r["cpu_seconds"] for r in of)
        lines.append(f"| {bits.upper()} | {method} | {' | '.join(cells)} | {seconds:.0f} |")
    return "\n".join(lines)


def _image_table(records: list[dict[str, Any]]) -> str:
    lines = ["| images | recognised % | CPU seconds |", "| --- | --- | --- |"]
    for source in INVERTED:
        of = [r for r in records if r["source"] == source]
        if of:
            seconds = mean(r["cpu_seconds"] for r in of)
            lines.append(f"| {source} | {_spread([100 * r['top1'] for r in of])} | {seconds:.0f} |")
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
    return f"{mean(values):.1f}{spread}"


if __name__ == "__main__":
    main()
