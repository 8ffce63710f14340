"""How the bundled miniature models were trained: `python -m vitquant.miniature.train vit_digits`.

Takes a few minutes on one core. The test part is looked at once, after the last step.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import timm
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save as to_bytes
from timm.data import create_transform, resolve_model_data_config
from timm.optim import create_optimizer_v2
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from vitquant.data.sources.digits import digits
from vitquant.models.sources.from_miniature import NAMES, weights_path

EPOCHS = 40
# Few images need small batches to give enough steps: with 32, other settings alike, both models
# ended behind where 16 takes them.
BATCH = 16
PEAK_LEARNING_RATE = 1e-3
WARM_UP = 0.1
WEIGHT_DECAY = 0.05
LABEL_SMOOTHING = 0.1
GRADIENT_NORM = 1.0

Labeled = Sequence[tuple[Image.Image, int]]


def train(name: str, images: Labeled, epochs: int = EPOCHS, seed: int = 0) -> nn.Module:
    """A miniature model trained from nothing on labeled images, in eval mode.

    The same seed on the same machine and number of threads gives the same weights. Seeds torch's
    global generator, from which timm initializes and torchvision augments.

    Raises:
        ValueError: fewer images than one batch, or no epoch.
    """
    if len(images) < BATCH or epochs < 1:
        raise ValueError(f"training needs {BATCH} images and one epoch, or more")
    torch.manual_seed(seed)
    # timm's usual start, a spread of 0.02, is meant for wide layers; "jax" goes by each layer's
    # width, and the narrow Swin learns in half the epochs.
    model = timm.create_model(name, weight_init="jax").train()
    # Mild, and no flips: a mirrored digit is another sign or none. Black is the ground to fill in.
    augment = v2.RandomAffine(
        degrees=10,
        translate=(0.1, 0.1),
        scale=(0.9, 1.1),
        interpolation=v2.InterpolationMode.BILINEAR,
        fill=0,
    )
    prepare = _preprocessing(model)
    batches = DataLoader(
        images,
        batch_size=BATCH,
        shuffle=True,
        drop_last=True,
        collate_fn=lambda pairs: _batch(pairs, lambda image: prepare(augment(image))),
    )
    optimizer = create_optimizer_v2(
        model, opt="adamw", lr=PEAK_LEARNING_RATE, weight_decay=WEIGHT_DECAY
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=PEAK_LEARNING_RATE,
        # One more than is taken, so that even a run of a single step has a rise and a fall.
        total_steps=epochs * len(batches) + 1,
        pct_start=WARM_UP,
        cycle_momentum=False,
    )
    for _ in range(epochs):
        for inputs, labels in batches:
            loss = F.cross_entropy(model(inputs), labels, label_smoothing=LABEL_SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM)
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.inference_mode()
def count_correct(model: nn.Module, images: Labeled) -> int:
    """How many of the images a timm model in eval mode labels rightly."""
    prepare = _preprocessing(model)
    batches = DataLoader(images, batch_size=250, collate_fn=lambda pairs: _batch(pairs, prepare))
    return sum(int((model(x).argmax(dim=-1) == y).sum()) for x, y in batches)


def save(model: nn.Module, path: Path, metadata: dict[str, str]) -> None:
    """Write the model's parameters and `metadata` as safetensors, whole or not at all.

    Raises:
        OSError: the folder is missing or cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    try:
        # Not `save_file`, which makes files that only their owner may read.
        unfinished.write_bytes(to_bytes(state, metadata))
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, score and write one model as the command line asks.

    The file's metadata, all strings, tell "model", "top1" (a fraction of 1), "test_images",
    "seed" and "epochs".
    """
    parser = argparse.ArgumentParser(description="Train a miniature model on handwritten digits.")
    parser.add_argument("model", choices=NAMES)
    parser.add_argument("--out", type=Path, help="file to write [the bundled weights]")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    options = parser.parse_args(arguments)
    out = options.out or weights_path(options.model)
    if options.epochs < 1:
        parser.error("--epochs must be 1 or more")
    if not out.parent.is_dir():
        parser.error(f"--out: there is no folder {out.parent}")

    model = train(options.model, digits("train"), options.epochs, options.seed)
    test = digits("test")
    correct = count_correct(model, test)
    metadata = {
        "model": options.model,
        "top1": f"{correct / len(test):.4f}",
        "test_images": str(len(test)),
        "seed": str(options.seed),
        "epochs": str(options.epochs),
    }
    save(model, out, metadata)
    print(f"{options.model}: {correct} of {len(test)} test images right; wrote {out}")


def _preprocessing(model: nn.Module) -> Callable[[Image.Image], Tensor]:
    """The model's own way from an image to a normalized (3, 32, 32) tensor."""
    return create_transform(**resolve_model_data_config(model))


def _batch(pairs: Labeled, prepare: Callable[[Image.Image], Tensor]) -> tuple[Tensor, Tensor]:
    """Images (N, 3, 32, 32) and labels (N,)."""
    images, labels = zip(*pairs, strict=True)
    return torch.stack([prepare(image) for image in images]), torch.tensor(labels)


if __name__ == "__main__":
    main()
