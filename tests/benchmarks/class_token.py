"""How much of what enters each Linear at the class token's place is the same for all images.

    python tests/benchmarks/class_token.py --model deit_tiny --weights FILE --calib DIR --every 10

For each layer, of the float model: the share of the class token's energy that its mean over the
images has, and how wide (99.9% of the magnitudes) the class token's values, the same around their
mean, and the patches' are.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import torch
from torch import Tensor

from vitquant.data.loader import load_batches
from vitquant.data.open import Role, open_source
from vitquant.models.adapter import TokenLayout
from vitquant.models.sources import load_float
from vitquant.quantization.graph.trace import trace


class _Rows:
    """The class token's rows of each layer's input, and those of every twentieth other token."""

    def __init__(self, tokens: TokenLayout) -> None:
        self.tokens = tokens
        self.found: dict[str, list[Tensor]] = defaultdict(list)

    def on_layer(self, layer: str, caller: str, x: Tensor) -> None:
        if x.dim() == 3 and self.tokens.num_prefix(x):
            self.found[layer].append(x[:, ::20].clone())

    def on_matmul(self, caller: str, index: int, left: Tensor, right: Tensor) -> None:
        pass

    def on_unsupported(self, caller: str, what: str) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="deit_tiny")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--calib", required=True)
    parser.add_argument("--every", type=int, default=10, metavar="N", help="take each Nth image")
    options = parser.parse_args()
    model = load_float(options.model, options.weights, None)
    images = open_source(
        options.calib,
        flag="--calib",
        label_space=model.label_space,
        role=Role.CALIBRATION,
        limit=None,
    )
    chosen = list(range(0, len(images), options.every))
    rows = _Rows(model.tokens)
    for batch, _ in load_batches(images, chosen, model.transform(), 50):
        trace(model.module, batch, rows)
    print(f"{len(chosen)} images: share of the mean | width: class token, around its mean, patches")
    for layer, parts in rows.found.items():
        x = torch.cat(parts)
        token, patches = x[:, 0], x[:, 1:]
        mean = token.mean(0)
        share = mean.square().sum() / token.square().sum(1).mean()
        widths = (_width(part) for part in (token, token - mean, patches))
        print(f"{layer:24}", f"{share:.3f} |", *(f"{width:6.2f}" for width in widths))


def _width(x: Tensor) -> float:
    x = x.flatten()
    return x[:: max(1, len(x) // 1_000_000)].abs().quantile(0.999).item()


if __name__ == "__main__":
    main()
