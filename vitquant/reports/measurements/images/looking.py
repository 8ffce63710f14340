"""One pass over images, from which accuracy, changed answers and errors of features follow."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vitquant.core.progress import Progress
from vitquant.data.image_source import ImageSource
from vitquant.data.loader import load_batches
from vitquant.evaluation.output_error import ErrorSums, is_finite
from vitquant.models.model import Model
from vitquant.quantization.training.features import (
    FeatureExtractor,
    Outputs,
    TeacherForcing,
    capture_features,
)
from vitquant.reports.measurements.subject import Subject
from vitquant.reports.measurements.tensors.taps import Listener, tapped

_TOP = 5


class Answers(NamedTuple):
    """A classifier's answers. best: (N, 5) classes, or fewer, the first first. probability: (N,) of
    the first. finite: (N,), bool: whether all logits are."""

    best: Tensor
    probability: Tensor
    finite: Tensor

    @classmethod
    def of(cls, logits: Tensor) -> "Answers":
        """logits: (N, classes)."""
        top = logits.float().softmax(-1).topk(min(_TOP, logits.shape[-1]))
        # NaN has no order, and infinite logits have NaN as a probability.
        best = logits.topk(top.indices.shape[-1]).indices
        return cls(best.cpu(), top.values[:, 0].cpu(), is_finite(logits).cpu())


@dataclass(frozen=True)
class Looked:
    """What two models say about the same images.

    Attributes:
        labels: (N,) int64, -1 where unknown.
        quantized, reference: answers of classifiers; None for other models, or without a reference.
        errors: of outputs that are no logits; None for classifiers, or without a reference.
        broken: images for which an output of the quantized model is NaN or infinite, and of the
            reference.
    """

    labels: Tensor
    quantized: Answers | None
    reference: Answers | None
    errors: ErrorSums | None
    broken: tuple[int, int]


class FeatureListener(NamedTuple):
    """What hears of the first images, in whole batches.

    images: how many at least. features: is called with the float model's outputs, the quantized
    one's, and those of the quantized one whose blocks are fed float features. quantizers: see
    ``tapped``.
    """

    images: int
    features: Callable[[Outputs, Outputs, Outputs], None]
    quantizers: Listener


@torch.inference_mode()
def look(
    subject: Subject,
    images: ImageSource,
    batch_size: int,
    listener: FeatureListener,
    progress: Progress,
    device: str,
) -> Looked:
    """Show images to both models.

    Raises UserError for an image that cannot be read.
    """
    model, reference = subject.model, subject.reference
    classifies = model.num_classes > 1
    labels: list[Tensor] = []
    answers: list[Answers] = []
    expected: list[Answers] = []
    errors, broken, seen = ErrorSums(), [0, 0], 0
    loaded = load_batches(images, range(len(images)), model.transform(), batch_size)
    total = -(-len(images) // batch_size)
    with ExitStack() as stack:
        run = stack.enter_context(_capturing(subject, model))
        run_reference = None
        if reference is not None:
            run_reference = stack.enter_context(_capturing(subject, reference))
        for batch, own in progress.track(loaded, total, "images through both models"):
            batch, first = batch.to(device), seen < listener.images
            seen += len(batch)
            true = None if run_reference is None else run_reference(batch)
            if first:
                with tapped(model.module, listener.quantizers):
                    found = run(batch)
            else:
                found = run(batch)
            if first and true is not None and subject.same_basis and subject.blocks:
                listener.features(true, found, run(batch, TeacherForcing(true.features, 1.0)))
            labels.append(own)
            broken[0] += int((~is_finite(found.logits)).sum())
            if classifies:
                answers.append(Answers.of(found.logits))
            if true is not None:
                broken[1] += int((~is_finite(true.logits)).sum())
                if classifies:
                    expected.append(Answers.of(true.logits))
                else:
                    errors.add(found.logits, true.logits)
    return Looked(
        torch.cat(labels),
        _joined(answers),
        _joined(expected),
        None if classifies or reference is None else errors,
        (broken[0], broken[1]),
    )


def _capturing(subject: Subject, model: Model) -> AbstractContextManager[FeatureExtractor]:
    return capture_features(model.module, subject.blocks, model.adapter.forward)


def _joined(parts: list[Answers]) -> Answers | None:
    return Answers(*map(torch.cat, zip(*parts, strict=True))) if parts else None
