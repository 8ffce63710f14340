"""What a feature is worth and what it costs: the rows of docs/results/features.csv.

    python tests/benchmarks/features.py --model deit_tiny --weights FILE --calib DIR --data DIR \
        --records features.jsonl --files FOLDER --out docs/results/features.csv

Each run is ``vitquant quantize`` and ``vitquant eval``, in processes of their own, once for each
seed. Runs that the file of records already holds are not repeated. At last the files of the first
seed are exported, each for its target, and timed side by side by ``vitquant bench``.
"""

import argparse
import csv
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

from records import measured, vitquant

VARIANTS = {
    ("rtn", "w8a8"): ("", "--per-head", "--prefix-scales", "--target openvino"),
    ("rtn", "w6a6"): ("", "--per-head", "--prefix-scales"),
    ("rtn", "w4a4"): ("", "--no-per-head", "--prefix-scales", "--target openvino"),
    ("joint", "w4a4"): ("", "--stored-rescaling"),
}
"""Options beside the defaults, by method and bits."""


def main() -> None:
    options = _parse()
    runs = list(_runs(options))
    records = measured(options.records, runs, lambda wanted: _measure(wanted, options))
    if options.out is None:
        return
    timed = _timed(runs, options)
    rows = [_row(name, own, timed[name]) for name, own in _by_variant(records).items()]
    with options.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="vit_digits")
    parser.add_argument("--weights", help="float weights; by default those that the name means")
    parser.add_argument("--calib", default="digits")
    parser.add_argument("--data", default="digits")
    parser.add_argument(
        "--records", type=Path, required=True, help="file of finished runs, a line of JSON each"
    )
    parser.add_argument("--files", type=Path, required=True, help="folder for what is made")
    parser.add_argument("--out", type=Path, help="CSV file; without it, nothing is timed")
    parser.add_argument("--methods", nargs="+", default=["rtn", "joint"])
    parser.add_argument("--bits", nargs="+", default=["w8a8", "w6a6", "w4a4"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=60)
    return parser.parse_args()


def _runs(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for (method, bits), variants in VARIANTS.items():
        if method not in options.methods or bits not in options.bits:
            continue
        for variant in variants:
            for seed in options.seeds:
                steps = options.steps if method == "joint" else 0
                run = {"model": options.model, "method": method, "bits": bits, "steps": steps}
                yield run | {"options": variant, "seed": seed}


def _name(run: dict[str, Any]) -> str:
    own = run["options"].replace("--", "").replace(" ", "-")
    return "-".join(filter(None, (run["method"], run["bits"], own)))


def _path(run: dict[str, Any], options: argparse.Namespace) -> Path:
    return options.files / f"{_name(run)}-seed{run['seed']}.safetensors"


def _measure(wanted: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    options.files.mkdir(exist_ok=True)
    weights = ["--weights", options.weights] if options.weights else []
    steps = ["--steps", wanted["steps"]] if wanted["steps"] else []
    path = _path(wanted, options)
    made = vitquant(
        "quantize", wanted["model"], *weights, "--bits", wanted["bits"],
        "--method", wanted["method"], *wanted["options"].split(), *steps,
        "--seed", wanted["seed"], "--calib", options.calib, "--out", path,
    )  # fmt: skip
    scored = vitquant("eval", path, "--data", options.data, "--reference", "float", *weights)
    return {
        "top1": scored["top1"],
        "float_top1": scored["reference"]["top1"],
        "agreement": scored["agreement"],
        "images": scored["images"],
        "bytes": made["bytes"],
    }


def _timed(runs: list[dict[str, Any]], options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Of each variant's file, by its name: what bench finds in the runtime that it is for."""
    files = {}
    for run in runs:
        if run["seed"] == options.seeds[0]:
            files[_name(run)] = path = options.files / f"{_name(run)}.onnx"
            command = ["-m", "vitquant", "export", _path(run, options), "--weight-type", "int4"]
            command += ["--out", path]
            subprocess.run([sys.executable, *map(str, command)], check=True, stdout=sys.stderr)
    weights = ["--weights", options.weights] if options.weights else []
    rows = vitquant(
        "bench", *files.values(), "--model", options.model, *weights, "--threads", 1,
        "--repeats", options.repeats, "--no-memory",
    )["rows"]  # fmt: skip
    found = {}
    for run in runs:
        runtime = "openvino" if "openvino" in run["options"] else "onnxruntime"
        own = [r for r in rows if r["name"] == str(files[_name(run)])]
        found[_name(run)] = next(r for r in own if r["runtime"] == runtime)
    return found


def _by_variant(records: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        found.setdefault(_name(record), []).append(record)
    return found


def _row(name: str, own: list[dict[str, Any]], timed: dict[str, Any]) -> dict[str, Any]:
    """The seeds of a variant in one row, with the time of its file."""
    top1 = [record["top1"] for record in own]
    shared = ("model", "method", "bits", "steps", "options", "images", "float_top1")
    return {key: own[0][key] for key in shared} | {
        "seeds": len(own),
        "top1": f"{mean(top1):.4f}",
        "top1_lowest": f"{min(top1):.4f}",
        "top1_highest": f"{max(top1):.4f}",
        "agreement": f"{mean(record['agreement'] for record in own):.4f}",
        "bytes": own[0]["bytes"],
        "runtime": timed["runtime"],
        "threads": 1,
        "minimum_ms": timed["minimum_ms"],
        "speedup_paired": timed["speedup_paired"],
        "speedup_minimum": timed["speedup_minimum"],
    }


if __name__ == "__main__":
    main()
