"""Mixed against uniform bits at equal bytes: rows for docs/results/mixed_bits.csv.

    python tests/benchmarks/mixed_bits.py deit_tiny --weights FILE --calib DIR --data DIR \
        --out docs/results/mixed_bits.csv --seeds 0 1 2 --widths w4 --methods rtn joint

For each seed and uniform width ``wN`` with activations of four bits, the bits of each layer and
matmul are chosen for as many bytes and as many bits of activations on the mean, as ``vitquant
quantize --max-size`` does, and both are scored on the same images. Scales and losses of single
layers are measured once for all widths. Rows that the file holds already are not measured again.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from accuracy import Reference, _short
from rows import append, provenance, read

from vitquant.config.bits import Bits
from vitquant.config.naming import OPTIONS
from vitquant.config.quantize import QuantizeSettings
from vitquant.core.progress import Silent
from vitquant.data.loader import load_batches
from vitquant.quantization.bit_allocation.activations import activation_values
from vitquant.quantization.bit_allocation.measure import Measure
from vitquant.quantization.bit_allocation.search import BitSearch, Budget, mean_activation_bits
from vitquant.quantization.bit_allocation.switchable import SwitchableModel
from vitquant.workflows.allocation.assignment import choices_of, mean_weight_bits, with_bits
from vitquant.workflows.allocation.cache import cached_losses
from vitquant.workflows.allocation.sizes import FileSize
from vitquant.workflows.calibration_images import calibration_images, go_on
from vitquant.workflows.open import reading_for
from vitquant.workflows.ptq import make_context

CHOICES = "w1.58,w2,w3,w4,w6,w8,a3,a4,a6,a8"
ACTIVATIONS = 4
# Bytes that patterns may take more after refining.
MARGIN = 600


def main() -> None:
    options = _parse()
    common = provenance() | {
        "model": options.model,
        "data": _short(options.data),
        "calib": _short(options.calib),
        "sensitivity_images": str(options.images),
        "refine": str(options.refine),
    }
    reference = Reference(options)
    for seed in options.seeds:
        _Seed(options, common | {"seed": str(seed)}, seed, reference).run()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--calib", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True, help="CSV file that gets the rows")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--widths", nargs="+", default=["w4"])
    parser.add_argument("--methods", nargs="+", default=["rtn"], choices=["rtn", "joint"])
    parser.add_argument("--steps", type=int, default=60, help="of joint")
    parser.add_argument("--images", type=int, default=32, help="that losses are measured on")
    parser.add_argument("--refine", type=int, default=2)
    return parser.parse_args()


class _Seed:
    """One draw of calibration images: scales and losses, searched when they are first needed."""

    def __init__(self, options, common, seed: int, reference: Reference) -> None:
        self.options, self.common, self.reference, self.seed = options, common, reference, seed
        self.search: BitSearch | None = None

    def run(self) -> None:
        for width in self.options.widths:
            for bits in ("uniform", "mixed"):
                for method in self.options.methods:
                    row = self.common | {"method": method, "bits": bits, "width": width}
                    row["steps"] = str(self.options.steps) if method == "joint" else "0"
                    if any(all(o[k] == row[k] for k in row if k != "date") for o in self.rows()):
                        continue
                    print(*row.values(), file=sys.stderr, flush=True)
                    append(self.options.out, row | self._measure(method, bits, width))

    def rows(self):
        return read(self.options.out)

    def _measure(self, method: str, bits: str, width: str) -> dict[str, object]:
        if method == "joint":
            # At the bits of the row of rtn, so that nothing is searched twice.
            wanted = self.common | {"method": "rtn", "bits": bits, "width": width}
            same = [k for k in wanted if k != "date"]
            (chosen,) = (o for o in self.rows() if all(o[k] == wanted[k] for k in same))
            own = dict(list(chosen.items())[len(self.common) + 4 :])
            return own | self._train(chosen["nominal"], chosen["layer_bits"])
        search = self.search or self._prepare()
        uniform = {
            name: Bits(float(width[1:]) if "." in width else int(width[1:]), ACTIVATIONS)
            if name in self.weights
            else Bits(8, ACTIVATIONS)
            for name in self.choices
        }
        uniform[self.context.points.stem] = Bits(8, 8)
        choice = uniform if bits == "uniform" else self._mixed(uniform)
        settings = self._with(choice).settings
        rounds = search.refine(choice, Budget(float("inf")), 0).rounds
        rounds = rounds if bits == "uniform" else self.rounds
        return {
            "bytes": self.size.whole(self._with(choice)),
            "mean_weight_bits": round(mean_weight_bits(choice, self.weights), 4),
            "mean_activation_bits": round(mean_activation_bits(choice, self.values), 4),
            "calibration_loss": round(rounds[-1].measured, 6),
            "expected_loss": round(rounds[0].expected, 6),
            "measured_loss": round(rounds[0].measured, 6),
            "refined_loss": round(rounds[-1].measured, 6),
            **self.reference._score(self._outputs()),
            "nominal": str(settings.bits),
            "layer_bits": str(settings.layer_bits or ""),
        }

    def _mixed(self, uniform):
        """Chosen for the bytes and the mean activation bits of a uniform choice."""
        search, most = self.search, self.size.whole(self._with(uniform))
        overhead = most - search.bytes(uniform) + MARGIN
        mean = mean_activation_bits(uniform, self.values)
        while True:
            budget = Budget(most - overhead, mean)
            found = search.refine(search.choose(budget), budget, self.options.refine)
            size = self.size.whole(self._with(found.bits))
            if size <= most:
                self.rounds = found.rounds
                return found.bits
            overhead += size - most

    def _prepare(self) -> BitSearch:
        options, model = self.options, self.reference.model
        given = {"max_size": "1GB", "choices": CHOICES}
        settings = QuantizeSettings.build(
            naming=OPTIONS, method="rtn", calib=options.calib, seed=self.seed,
            sensitivity_images=options.images, **given,
        )  # fmt: skip
        reading = reading_for(settings, Silent())
        images = calibration_images(settings, model, reading, "cpu", Silent(), go_on)
        self.context = make_context(model, images, settings, 32, Silent(), "cpu")
        self.choices = choices_of(self.context)
        self.size = FileSize(self.context)
        points, network = self.context.points, self.context.float_model
        self.weights = {p.name: network.get_submodule(p.name).weight.numel() for p in points.layers}
        self.values = activation_values(network, points, model.example_inputs())
        widths = {bits for own in self.choices.values() for bits in own}
        self.model = SwitchableModel(self.context, widths)
        measure = Measure(self.context, self.model, options.images)

        def bytes_of(name: str, bits: float) -> int:
            return self.size.of_weights(self.weights.get(name, 0), bits)

        self.search = BitSearch(measure, self.choices, bytes_of, self.values, Silent())
        self.search.use(cached_losses(self.context, self.choices, self.search.measure_alone))
        return self.search

    def _with(self, choice):
        return with_bits(self.context, choice, self.weights, self.values)

    @torch.inference_mode()
    def _outputs(self):
        """Of the network at the bits that were measured last, which is what ``rtn`` makes."""
        images, model = self.reference.images, self.reference.model
        loaded = load_batches(images, range(len(images)), model.transform(), 32)
        return torch.cat([model.adapter.forward(self.model.module, b) for b, _ in loaded])

    def _train(self, bits: str, layer_bits: str) -> dict[str, object]:
        with tempfile.TemporaryDirectory() as folder:
            path, options = Path(folder) / "model.safetensors", self.options
            command = [sys.executable, "-m", "vitquant", "quantize", options.model]
            command += ["--weights", str(options.weights)] if options.weights else []
            command += ["--bits", bits, "--calib", options.calib]
            command += ["--layer-bits", layer_bits] if layer_bits else []
            command += ["--steps", str(options.steps), "--seed", str(self.seed)]
            command += ["--out", str(path), "--json"]
            ended = subprocess.run(command, check=True, stdout=subprocess.PIPE)
            assert json.loads(ended.stdout)["output"] == str(path)
            return self.reference.score(path)


if __name__ == "__main__":
    main()
