"""One row of an entry in docs/research-log.md: quantize on some images, score on the others.

    python tests/benchmarks/ablation.py --model deit_tiny --weights FILE --calib DIR \
        --bits w4a4 --set steps=200 --set batch_size=16 --set feature_weight=100

Tuning must not see the validation images, so 200 of the calibration images are held back, the same
for every seed, and the float model's own answers on them are the truth: what is printed is how far
the quantized model's distribution over the classes is from the float model's (KL divergence in
nats, with its standard error), how often their top-1 predictions agree, and how far the blocks'
outputs are off. ``--set NAME=VALUE`` is any field of ``vitquant.config.quantize.QuantizeSettings``.
"""

import argparse
import json
from pathlib import Path

import torch
from divergence import divergence

from vitquant.cli.console import Terminal
from vitquant.config.quantize import QuantizeSettings
from vitquant.data.image_source import ImageSource, ListSource
from vitquant.data.loader import load_batches, stratified_sample
from vitquant.data.open import Role, open_source
from vitquant.models.model import Model
from vitquant.models.sources import load_float
from vitquant.quantization.graph.points import example_inputs, find_points
from vitquant.quantization.training.features import capture_features
from vitquant.quantization.training.losses import feature_loss
from vitquant.workflows.ptq import quantize

_HELD_BACK = 200
_SPLIT_SEED = 12345


def main() -> None:
    options = _parse()
    model = load_float(options.model, options.weights, None)
    images = open_source(
        options.calib,
        flag="--calib",
        label_space=model.label_space,
        role=Role.CALIBRATION,
        limit=None,
    )
    order = stratified_sample(images, None, _SPLIT_SEED)
    held_back, rest = order[:_HELD_BACK], sorted(order[_HELD_BACK:])
    settings = _settings(options)
    labels = None if images.labels is None else [images.labels[i] for i in rest]
    calibration = ListSource(images.name, [images.image(i) for i in rest], labels)
    quantized = quantize(model, calibration, settings, Terminal(), options.device)
    row = {"bits": options.bits, "set": options.set, "seed": settings.seed}
    row |= _score(quantized.model, model, images, held_back, options.device)
    row |= {"loss": quantized.history[-1]} if quantized.history else {}
    print(json.dumps(row | {"seconds": round(quantized.seconds)}))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="deit_tiny")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--calib", required=True)
    parser.add_argument("--bits", default="w4a4")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def _settings(options: argparse.Namespace) -> QuantizeSettings:
    given = dict(pair.split("=", 1) for pair in options.set)
    changes = {}
    for name, value in given.items():
        try:
            changes[name] = json.loads(value)
        except json.JSONDecodeError:
            changes[name] = value
    return QuantizeSettings.build(bits=options.bits, patch_embed_bits="w8a8", **changes)


@torch.no_grad()
def _score(
    quantized: Model, model: Model, images: ImageSource, indices: list[int], device: str
) -> dict[str, float]:
    divergences, agreed, features = [], 0, 0.0
    blocks = find_points(model.module, example_inputs(model.input_size)).blocks
    model.module.to(device)
    with (
        capture_features(model.module, blocks) as teacher,
        capture_features(quantized.module, blocks) as student,
    ):
        for batch, _ in load_batches(images, indices, model.transform(), 50):
            target, output = teacher(batch.to(device)), student(batch.to(device))
            divergences.append(divergence(output.logits, target.logits))
            agreed += int((output.logits.argmax(-1) == target.logits.argmax(-1)).sum())
            features += feature_loss(output, target).item() * len(batch)
    found = torch.cat(divergences)
    return {
        "kl": round(found.mean().item(), 4),
        "kl_se": round(found.std().item() / len(indices) ** 0.5, 4),
        "agreement": round(agreed / len(indices), 4),
        "features": round(features / len(indices), 4),
    }


if __name__ == "__main__":
    main()
