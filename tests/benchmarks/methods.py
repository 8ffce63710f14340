"""Every method at every width on one model: the table in docs/results.md.

    python tests/benchmarks/methods.py --model deit_tiny --weights FILE --calib DIR --data DIR \
        --records methods.jsonl

Each run is the two commands ``vitquant quantize`` and ``vitquant eval``, in processes of their own.
Runs that the file of records already holds are not repeated, so an interrupted table goes on.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from records import measured, vitquant

METHODS = ("rtn", "repq", "block", "joint")
BITS = ("w8a8", "w6a6", "w4a4", "w3a3", "w1.58a8")
TRAINS = ("block", "joint")


def main() -> None:
    options = _parse()
    runs = list(_runs(options))
    print(_table(measured(options.records, runs, lambda wanted: _measure(wanted, options))))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="vit_digits")
    parser.add_argument("--weights", help="float weights; by default those that the name means")
    parser.add_argument("--calib", default="digits")
    parser.add_argument("--data", default="digits")
    parser.add_argument(
        "--records", type=Path, required=True, help="file of finished runs, a line of JSON each"
    )
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--bits", nargs="+", default=BITS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=400)
    return parser.parse_args()


def _runs(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for bits in options.bits:
        for method in options.methods:
            for seed in options.seeds if method in TRAINS else options.seeds[:1]:
                steps = options.steps if method in TRAINS else 0
                run = {"model": options.model, "bits": bits, "method": method}
                yield run | {"seed": seed, "steps": steps}


def _measure(wanted: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    weights = ["--weights", options.weights] if options.weights else []
    steps = ["--steps", str(wanted["steps"])] if wanted["steps"] else []
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/quantized.safetensors"
        made = vitquant(
            "quantize", wanted["model"], *weights, "--bits", wanted["bits"],
            "--method", wanted["method"], "--seed", str(wanted["seed"]), *steps,
            "--calib", options.calib, "--out", path,
        )  # fmt: skip
        scored = vitquant("eval", path, "--data", options.data, "--reference", "float", *weights)
    return {
        "top1": scored["top1"],
        "drop": scored["drop"],
        "agreement": scored["agreement"],
        "images": scored["images"],
        "bytes": made["bytes"],
        "seconds": made["seconds"],
        "peak_memory_bytes": made["peak_memory_bytes"],
    }


def _table(records: list[dict[str, Any]]) -> str:
    lines = [
        "| bits | method | seed | steps | top-1 % | drop | agreement % | MB | seconds | GB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for r in records:
        lines.append(
            f"| {r['bits'].upper()} | `{r['method']}` | {r['seed']} | {r['steps'] or ''} "
            f"| {100 * r['top1']:.2f} | {100 * r['drop']:.2f} | {100 * r['agreement']:.2f} "
            f"| {r['bytes'] / 1e6:.2f} | {r['seconds']:.0f} | {r['peak_memory_bytes'] / 1e9:.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
