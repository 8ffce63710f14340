"""Both models on the same images, damaged: blur, noise, JPEG, and less contrast.

The kinds are four of those of Hendrycks and Dietterich (arXiv 1903.12261), applied to what the
model sees. Radii are for 224 pixels, and grow with the image.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageFilter
from torch import Tensor

from vitquant.core.progress import Progress
from vitquant.data.image_source import ImageSource
from vitquant.evaluation.agreement import same_top1
from vitquant.evaluation.output_error import ErrorSums, is_finite
from vitquant.reports.measurements.images.pictures import View, encode
from vitquant.reports.measurements.subject import Subject
from vitquant.reports.sections.accuracy import Corruption, Corruptions

_SIDE = 224

Damage = Callable[[Image.Image, float, int], Image.Image]
"""From an image, a strength and a seed to another of the same size and mode."""


def _blur(image: Image.Image, radius: float, seed: int) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(radius * min(image.size) / _SIDE))


def _noise(image: Image.Image, deviation: float, seed: int) -> Image.Image:
    pixels = np.asarray(image, dtype=np.float32)
    added = np.random.default_rng(seed).normal(0, 255 * deviation, pixels.shape)
    return Image.fromarray((pixels + added).round().clip(0, 255).astype(np.uint8))


def _jpeg(image: Image.Image, quality: float, seed: int) -> Image.Image:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=int(quality))
    with Image.open(data) as read:
        return read.convert(image.mode)


def _contrast(image: Image.Image, factor: float, seed: int) -> Image.Image:
    return ImageEnhance.Contrast(image).enhance(factor)


@dataclass(frozen=True)
class _Kind:
    damage: Damage
    strengths: tuple[float, float, float]
    words: str


KINDS = {
    "blur": _Kind(_blur, (1.0, 2.0, 4.0), "Gaussian, radius {:g} of 224 pixels"),
    "noise": _Kind(_noise, (0.06, 0.12, 0.24), "Gaussian, deviation {:g} of the range"),
    "jpeg": _Kind(_jpeg, (30, 15, 7), "quality {:g}"),
    "contrast": _Kind(_contrast, (0.5, 0.25, 0.12), "{:.0%} of the contrast"),
}


@torch.inference_mode()
def corruptions(
    subject: Subject,
    images: ImageSource,
    count: int,
    batch_size: int,
    progress: Progress,
    device: str,
) -> Corruptions:
    """Measure both on the first ``count`` images, damaged.

    With labels, top-1 of each model; without, how far they agree; for fewer than two classes, the
    cosine of their outputs. :func:`what_is_missing` says beforehand whether there is one of these.
    """
    view = View(subject.model)
    clean = [view.image(images.image(i)) for i in range(min(count, len(images)))]
    labels = torch.tensor(
        [-1 if images.labels is None else images.labels[i] for i in range(len(clean))]
    )
    labeled = [i for i, label in enumerate(labels.tolist()) if label >= 0]
    measure = _measure(subject, len(labeled))
    if measure == "top1":
        clean, labels = [clean[i] for i in labeled], labels[labeled]

    def score(pictures: Sequence[Image.Image]) -> tuple[float, float | None]:
        tensors = torch.stack([view.tensor(picture) for picture in pictures])
        return _score(subject, measure, tensors.split(batch_size), labels, device)

    base, rows = score(clean), []
    jobs = [(n, k, i) for n, k in KINDS.items() for i in range(len(k.strengths))]
    for name, kind, i in progress.track(jobs, len(jobs), "damaged images"):
        strength = kind.strengths[i]
        damaged = [kind.damage(image, strength, seed) for seed, image in enumerate(clean)]
        words = kind.words.format(strength)
        picture = encode(damaged[0], f"{name}, {words}")
        rows.append(Corruption(name, i + 1, words, *score(damaged), picture))
    return Corruptions(len(clean), measure, *base, tuple(rows), encode(clean[0], "undamaged"))


def what_is_missing(subject: Subject, labeled: bool) -> str | None:
    """Why there is nothing to measure; None where there is."""
    if subject.model.reads_text:
        return "the model reads texts, which are not damaged here"
    if not View(subject.model).known:
        return "images go through a function in Python, behind which they cannot be damaged"
    if subject.model.num_classes == 1:
        return "the output is one number, and has no direction to compare"
    if subject.reference is None and not (labeled and subject.model.num_classes > 1):
        return "without labels, it takes the float model to compare with"
    return None


def _measure(subject: Subject, labeled: int) -> str:
    if subject.model.num_classes < 2:
        return "cosine"
    return "top1" if labeled else "agreement"


def _score(
    subject: Subject, measure: str, batches: Sequence[Tensor], labels: Tensor, device: str
) -> tuple[float, float | None]:
    own, true, errors, start = 0, 0, ErrorSums(), 0
    for batch in batches:
        x = batch.to(device)
        found = subject.model(x).cpu()
        expected = None if subject.reference is None else subject.reference(x).cpu()
        wanted = labels[start : start + len(batch)]
        start += len(batch)
        if measure == "top1":
            own += _right(found, wanted)
            true += 0 if expected is None else _right(expected, wanted)
        elif measure == "agreement" and expected is not None:
            own += int(same_top1(found, expected).sum())
        elif expected is not None:
            errors.add(found, expected)
    if measure == "cosine":
        return errors.result().cosine or 0.0, None
    has_own = measure == "top1" and subject.reference is not None
    return own / start, true / start if has_own else None


def _right(logits: Tensor, labels: Tensor) -> int:
    return int(((logits.argmax(-1) == labels) & is_finite(logits)).sum())
