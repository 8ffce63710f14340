"""Do losses of single layers predict those of whole allocations? Rows for docs/results.

    python tests/benchmarks/sensitivity_prediction.py deit_tiny --weights FILE --calib DIR \
        --data DIR --out docs/results/sensitivity_prediction.csv

Draws random bits for each layer and matmul, and compares the sum of what each point loses alone
with what the whole loses, by Spearman's rank correlation: of bits without a budget, which differ
much in size, and of bits with the bytes and the mean activation bits of uniform W4A4.
"""

import random
import sys

from accuracy import Reference
from mixed_bits import ACTIVATIONS, _parse, _Seed, _short
from rows import append, provenance
from scipy.stats import spearmanr

from vitquant.config.bits import Bits
from vitquant.quantization.bit_allocation.allocate import Option, allocate

COUNT = 20


def main() -> None:
    options = _parse()
    for seed in options.seeds:
        run = _Seed(options, {}, seed, Reference(options))
        search = run._prepare()
        generator = random.Random(seed)
        uniform = {n: Bits(4 if n in run.weights else 8, ACTIVATIONS) for n in run.choices}
        for budget in ("none", "w4a4"):
            limits = (search.bytes(uniform), ACTIVATIONS * sum(run.values.values()))
            drawn = [
                _draw(run, generator, limits if budget == "w4a4" else ()) for _ in range(COUNT)
            ]
            expected = [search.expected(choice) for choice in drawn]
            measured = [search.measured(choice).divergence for choice in drawn]
            print(budget, list(zip(expected, measured, strict=True)), file=sys.stderr, flush=True)
            row = provenance() | {
                "model": options.model,
                "calib": _short(options.calib),
                "seed": seed,
                "sensitivity_images": options.images,
                "budget": budget,
                "allocations": COUNT,
                "spearman": round(float(spearmanr(expected, measured).statistic), 4),
                "least_measured": round(min(measured), 4),
                "most_measured": round(max(measured), 4),
                "mean_ratio": round(sum(measured) / sum(expected), 4),
            }
            append(options.out, row)


def _draw(run: _Seed, generator: random.Random, limits: tuple[float, ...]) -> dict[str, Bits]:
    """Bits that cost nothing to draw: the best choice by losses that are random."""
    if not limits:
        return {name: generator.choice(own) for name, own in run.choices.items()}
    options = {
        name: [
            Option(
                bits,
                generator.random(),
                run.size.of_weights(run.weights.get(name, 0), bits.weight),
                float(run.values[name] * bits.activation),
            )
            for bits in own
        ]
        for name, own in run.choices.items()
    }
    found = allocate(options, *limits)
    assert found is not None
    return found


if __name__ == "__main__":
    main()
