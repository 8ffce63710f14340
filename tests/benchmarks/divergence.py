"""How far checkpoints of one float model are from it, and whether they differ from each other.

    python tests/benchmarks/divergence.py --model deit_tiny --weights FILE --data DIR \
        A.safetensors B.safetensors

The divergence of a checkpoint's distribution over the classes from the float model's tells
checkpoints apart that no top-1 on as many images could: each image says more than right or wrong,
and differences are taken image by image. Prints means, and every checkpoint less the first, with
their standard errors over the images. With ``--float-head``, each checkpoint is scored once more
with the float model's last normalisation and classifier behind its blocks: what its own cost.
"""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import Tensor, nn

from vitquant.checkpoint.read import read_checkpoint, restore
from vitquant.data.loader import load_batches
from vitquant.data.open import Role, open_source
from vitquant.models.sources import load_float
from vitquant.quantization.graph.points import example_inputs, find_points
from vitquant.quantization.training.features import FeatureExtractor, capture_features


@torch.no_grad()
def main() -> None:
    options = _parse()
    model = load_float(options.model, options.weights, None)
    images = open_source(
        options.data, flag="--data", label_space=model.label_space, role=Role.EVALUATION, limit=None
    )
    students = {path.stem: restore(read_checkpoint(path)).module for path in options.checkpoints}
    blocks = find_points(model.module, example_inputs(model.input_size)).blocks
    head = model.module if options.float_head else None
    found: dict[str, list[Tensor]] = {}
    chosen = range(0, len(images), options.every)
    with ExitStack() as stack:
        runs = {n: stack.enter_context(capture_features(s, blocks)) for n, s in students.items()}
        for batch, labels in load_batches(images, list(chosen), model.transform(), 32):
            target = model.module(batch)
            for name, output in _outputs(runs, batch, head):
                guess = output.argmax(-1)
                scored = [divergence(output, target), guess == target.argmax(-1), guess == labels]
                found.setdefault(name, []).append(torch.stack(scored))
    scores = {name: torch.cat(parts, 1) for name, parts in found.items()}
    print(f"{len(chosen)} images\n")
    print(_table(scores))


def _outputs(
    runs: dict[str, FeatureExtractor], images: Tensor, head: nn.Module | None
) -> Iterator[tuple[str, Tensor]]:
    for name, run in runs.items():
        outputs = run(images)
        yield name, outputs.logits
        if head is not None:
            yield f"{name}, float head", head.forward_head(head.norm(outputs.features[-1]))


def divergence(output: Tensor, target: Tensor) -> Tensor:
    """(B,): from the distribution of the logits ``target`` to that of ``output``, in nats."""
    s, t = output.log_softmax(-1), target.log_softmax(-1)
    return (t.exp() * (t - s)).sum(-1)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("--model", default="vit_digits")
    parser.add_argument("--weights", type=Path, help="float weights")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--every", type=int, default=1, help="score each so many images alone")
    parser.add_argument(
        "--float-head", action="store_true", help="score each with the float model's head too"
    )
    return parser.parse_args()


def _table(scores: dict[str, Tensor]) -> str:
    """scores: (3, images) each: divergence, agreement, hits."""
    lines = [
        "| checkpoint | KL | less the first's | agreement % | top-1 % |",
        "| --- | --- | --- | --- | --- |",
    ]
    first = next(iter(scores))
    for name, (distance, agreed, hit) in scores.items():
        difference = "" if name == first else _mean(distance - scores[first][0])
        lines.append(
            f"| {name} | {_mean(distance)} | {difference} "
            f"| {100 * agreed.mean():.1f} | {100 * hit.mean():.1f} |"
        )
    return "\n".join(lines)


def _mean(values: Tensor) -> str:
    return f"{values.mean():.3f} ± {values.std() / len(values) ** 0.5:.3f}"


if __name__ == "__main__":
    main()
