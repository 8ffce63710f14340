"""Top-1 and top-5, alone and beside a reference."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vitquant.core import distributed
from vitquant.core.errors import UserError
from vitquant.core.progress import Progress, Silent
from vitquant.data.image_source import ImageSource
from vitquant.evaluation.agreement import same_top1
from vitquant.evaluation.output_error import is_finite
from vitquant.evaluation.side_by_side import run_side_by_side
from vitquant.models.model import Model


@dataclass
class Accuracy:
    """Accuracy of a model, as fractions from 0 to 1.

    Attributes:
        top1: the label is the top-1 prediction.
        top5: the label is among the five largest logits.
        not_finite: images with a logit that is NaN or infinite; they count as wrong.
    """

    top1: float
    top5: float
    not_finite: int = 0


@dataclass
class Evaluation:
    """The figures of an evaluation.

    Attributes:
        images: how many were scored. Images without a known label are left out.
        accuracy: of the model.
        images_per_second: of the model alone; decoding is not counted.
        reference: accuracy of the reference; None without one.
        agreement: the fraction of images on which both top-1 predictions are the same; None without
            a reference.
    """

    images: int
    accuracy: Accuracy
    images_per_second: float
    reference: Accuracy | None = None
    agreement: float | None = None


class _Counts:
    def __init__(self, top1: int = 0, top5: int = 0, not_finite: int = 0) -> None:
        self.top1, self.top5, self.not_finite = top1, top5, not_finite

    def values(self) -> tuple[int, int, int]:
        return self.top1, self.top5, self.not_finite

    def add(self, logits: Tensor, labels: Tensor) -> None:
        finite = is_finite(logits)
        best = logits.topk(min(5, logits.shape[-1])).indices
        hits = (best == labels[:, None]) & finite[:, None]
        self.top1 += int(hits[:, 0].sum())
        self.top5 += int(hits.any(1).sum())
        self.not_finite += int((~finite).sum())

    def accuracy(self, images: int) -> Accuracy:
        return Accuracy(self.top1 / images, self.top5 / images, self.not_finite)


@torch.inference_mode()
def evaluate(
    model: Model,
    images: ImageSource,
    batch_size: int = 64,
    reference: Model | None = None,
    progress: Progress | None = None,
    device: str = "cpu",
) -> Evaluation:
    """Score a model, and a reference on the same images with the reference's own preprocessing.

    Images without a known label are left out. Several processes divide the images, whole batches to
    each, and all of them return the result for all images.

    Raises:
        UserError: an image cannot be read, or none has a label.
    """
    total, agreed, seconds = 0, 0, 0.0
    counts, reference_counts = _Counts(), _Counts()
    for labels, logits, expected, taken in run_side_by_side(
        model, images, batch_size, reference, progress or Silent(), device, labeled_only=True
    ):
        seconds += taken
        counts.add(logits, labels)
        total += len(labels)
        if expected is not None:
            reference_counts.add(expected, labels)
            agreed += int(same_top1(logits, expected).sum())
    total, agreed, *counted = map(
        int,
        distributed.all_reduce_scalars(
            [total, agreed, *counts.values(), *reference_counts.values()]
        ),
    )
    counts, reference_counts = _Counts(*counted[:3]), _Counts(*counted[3:])
    # The slowest process is the one that the others wait for.
    seconds = float(distributed.all_reduce_max(torch.tensor(seconds, dtype=torch.float64)))
    if not total:
        raise UserError(f"--data: no image of {images.name} has a label that the model knows")
    return Evaluation(
        images=total,
        accuracy=counts.accuracy(total),
        images_per_second=total / seconds,
        reference=reference_counts.accuracy(total) if reference is not None else None,
        agreement=agreed / total if reference is not None else None,
    )
