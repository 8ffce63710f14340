"""Quantize, score, and append a row to docs/results/*.csv for each run.

    python tests/benchmarks/accuracy.py deit_tiny --weights FILE --calib DIR --data DIR \
        --out docs/results/deit_tiny.csv --methods rtn joint --bits w8a8 w4a4 --seeds 0 1 2

A run is ``vitquant quantize`` in a process of its own, whose time and peak memory it reports. The
checkpoint is then compared with the float model image by image. Runs that the file holds already,
from the same commit, are not repeated, so an interrupted series goes on; with ``--files``,
checkpoints are kept, and a run that was interrupted goes on too.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import torch
from divergence import divergence
from rows import Row, append, provenance, read
from torch import Tensor

from vitquant.checkpoint.read import read_checkpoint, restore
from vitquant.data.open import Role, open_source
from vitquant.evaluation.agreement import outputs, same_top1
from vitquant.models.model import Model
from vitquant.models.sources import load_float

TRAINED = ("joint", "block")
GENERATED = ("synthetic", "template", "inversion")


def main() -> None:
    options = _parse()
    common = provenance() | {"model": options.model, "data": _short(options.data)}
    reference = Reference(options)
    for run in [_float(options), *_runs(options)]:
        row = common | run
        if any(
            all(old[key] == row[key] for key in row if key != "date") for old in read(options.out)
        ):
            continue
        print(*row.values(), file=sys.stderr, flush=True)
        measured = (
            reference.own() if run["method"] == "float" else _measure(run, options, reference)
        )
        append(options.out, row | measured)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="vit_digits")
    parser.add_argument("--weights", type=Path, help="float weights; by default the model's own")
    parser.add_argument("--calib", default="digits")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--out", type=Path, required=True, help="CSV file that gets the rows")
    parser.add_argument("--files", type=Path, help="folder that keeps the checkpoints")
    parser.add_argument("--methods", nargs="+", default=["joint"])
    parser.add_argument("--bits", nargs="+", default=["w4a4"], help="or sizes, such as 3MB")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=800, help="of methods that train")
    parser.add_argument("--options", default="", help="further options of vitquant quantize")
    return parser.parse_args()


def _short(source: str) -> str:
    """The last two folders: where they lie is no one's business, and the same data elsewhere."""
    return "/".join(Path(source).parts[-2:])


def _float(options: argparse.Namespace) -> Row:
    return dict.fromkeys(("calib", "options", "seed", "steps"), "") | {
        "method": "float",
        "bits": "w32a32",
    }


def _runs(options: argparse.Namespace) -> Iterator[Row]:
    for seed, bits, method in product(options.seeds, options.bits, options.methods):
        yield {
            "calib": _short(options.calib),
            "options": options.options,
            "seed": str(seed),
            "steps": str(options.steps) if method in TRAINED else "0",
            "method": method,
            "bits": bits,
        }


class Reference:
    """The float model's outputs for all images, computed once."""

    @torch.inference_mode()
    def __init__(self, options: argparse.Namespace) -> None:
        self.model = load_float(options.model, options.weights, None)
        self.images = open_source(
            options.data,
            flag="--data",
            label_space=self.model.label_space,
            role=Role.EVALUATION,
            limit=None,
        )
        if self.images.labels is None:
            raise SystemExit("--data: images without labels; labeled ones are accepted")
        self.labels = torch.tensor(self.images.labels)
        self.logits = self._outputs(self.model)

    def _outputs(self, model: Model) -> Tensor:
        return outputs(model, self.images, range(len(self.images)))

    def own(self) -> dict[str, object]:
        """The row of the float model itself."""
        size = self.model.identity.float_bytes
        costs = {"bytes": size, "seconds": "", "peak_memory_bytes": ""}
        return self._score(self.logits) | {"samples": ""} | costs

    @torch.inference_mode()
    def score(self, checkpoint: Path) -> dict[str, object]:
        """Accuracy, and how far the outputs are from the float model's."""
        return self._score(self._outputs(restore(read_checkpoint(checkpoint))))

    def _score(self, logits: Tensor) -> dict[str, object]:
        hits, own_hits = self._hits(logits), self._hits(self.logits)
        distance = divergence(logits, self.logits)
        return {
            "images": len(hits),
            "top1": _rounded(hits.mean()),
            "top5": _rounded(
                (logits.topk(5).indices == self.labels[:, None]).any(1).double().mean()
            ),
            "float_top1": _rounded(own_hits.mean()),
            "drop_se": _rounded(_standard_error(own_hits - hits)),
            "agreement": _rounded(same_top1(logits, self.logits).double().mean()),
            "kl": _rounded(distance.mean()),
            "kl_se": _rounded(_standard_error(distance)),
        }

    def _hits(self, logits: Tensor) -> Tensor:
        return (logits.argmax(1) == self.labels).double()


def _measure(run: Row, options: argparse.Namespace, reference: Reference) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.files or Path(temporary)
        folder.mkdir(exist_ok=True)
        name = " ".join(run[key] for key in ("bits", "method", "options", "steps", "seed", "calib"))
        path = folder / f"{'-'.join(name.replace('/', ' ').replace('--', '').split())}.safetensors"
        made = _quantize(run, options, path)
        return reference.score(path) | {
            "samples": made["samples"],
            "bytes": made["bytes"],
            "seconds": round(made["seconds"]),
            "peak_memory_bytes": made["peak_memory_bytes"],
        }


def _quantize(run: Row, options: argparse.Namespace, path: Path) -> dict:
    command = [sys.executable, "-m", "vitquant", "quantize", options.model]
    command += ["--weights", str(options.weights)] if options.weights else []
    budget = "--bits" if run["bits"].startswith("w") else "--max-size"
    command += [budget, run["bits"], "--method", run["method"], "--seed", run["seed"]]
    command += ["--steps", run["steps"]] if run["method"] in TRAINED else []
    command += ["--resume"] if run["method"] == "joint" else []
    command += ["--calib", options.calib, *run["options"].split()]
    command += ["--yes"] if options.calib in GENERATED else []
    command += ["--out", str(path), "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def _standard_error(values: Tensor) -> Tensor:
    return values.std() / len(values) ** 0.5


def _rounded(value: Tensor) -> float:
    return round(value.item(), 6)


if __name__ == "__main__":
    main()
