"""How much of the float model is left in a quantized one, without labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vitquant.core import distributed
from vitquant.data.image_source import ImageSource
from vitquant.data.loader import load_batches
from vitquant.models.model import Model

# Enough to tell a model that works from one that does not, in the time of a few training steps.
_IMAGES = 256
_BATCH = 32
_SMALL_BATCH = 8
# Of the way from a random guess, which is what a lost model comes down to, to the float model's.
# Ternary DeiT-Tiny, trained too short to be of use, still comes twice as far.
_FLOOR = 0.2


def same_top1(found: Tensor, expected: Tensor) -> Tensor:
    """(B,), bool: for which images two models' logits (B, classes) have the same top-1
    prediction.

    An image with an output that is no finite number agrees with nothing.
    """
    return (found.argmax(-1) == expected.argmax(-1)) & found.isfinite().all(-1)


@dataclass(frozen=True)
class OutputAgreement:
    """How far the outputs of two models agree on the same images.

    Attributes:
        agreement: the fraction of images on which both top-1 predictions are the same; None for
            models without a classifier.
        difference: the root mean square of the outputs' difference, divided by the standard
            deviation of the first model's outputs.
    """

    agreement: float | None
    difference: float


@torch.inference_mode()
def outputs(model: Model, images: ImageSource, indices: Sequence[int]) -> Tensor:
    """(N, ...): of images by their indices, with the model's own preprocessing.

    Raises UserError for an image that cannot be read.
    """
    size = min(_SMALL_BATCH, model.max_batch or _SMALL_BATCH)
    loaded = load_batches(images, indices, model.transform(), size)
    return torch.cat([model(batch) for batch, _ in loaded])


def compare_outputs(expected: Tensor, found: Tensor, num_classes: int) -> OutputAgreement:
    """Compare outputs (N, ...) of two models. num_classes: 0 without a classifier."""
    agreement = float(same_top1(found, expected).double().mean()) if num_classes else None
    difference = (found - expected).square().mean().sqrt() / expected.std()
    return OutputAgreement(agreement, float(difference.nan_to_num(float("inf"))))


@dataclass(frozen=True)
class Fidelity:
    """How far a quantized model agrees with its float model on calibration images.

    Attributes:
        images: how many were compared, not augmented.
        agreement: the fraction on which both top-1 predictions are the same; None for models
            without a classifier.
        cosine: the mean cosine similarity of the outputs; None for models with a classifier.
        floor: the agreement below which the model has collapsed, a fraction.
    """

    images: int
    agreement: float | None
    cosine: float | None
    floor: float

    @property
    def collapsed(self) -> bool:
        """Whether the agreement is below ``floor``; False without a classifier."""
        return self.agreement is not None and self.agreement < self.floor

    def __str__(self) -> str:
        if self.agreement is None:
            return f"cosine similarity with float {self.cosine:.3f} on {self.images} images"
        return f"agreement with float {self.agreement:.1%} on {self.images} calibration images"


@torch.inference_mode()
def compare(
    model: Model, reference: Model, images: ImageSource, device: torch.device | str
) -> Fidelity:
    """Compare a model with the one that it was made from, on up to 256 images, not augmented.

    Raises UserError for an image that cannot be read.
    """
    count = min(_IMAGES, len(images))
    own = distributed.rank_slice(count, _BATCH)
    summed = 0.0
    for batch, _ in load_batches(images, own, model.transform(), _BATCH):
        found, expected = (m(batch.to(device)).float() for m in (model, reference))
        if model.num_classes:
            summed += int(same_top1(found, expected).sum())
        else:
            summed += float(F.cosine_similarity(found.flatten(1), expected.flatten(1)).sum())
    mean = distributed.all_reduce_scalars([summed])[0] / count
    chance = 1 / max(1, model.num_classes)
    return Fidelity(
        images=count,
        agreement=mean if model.num_classes else None,
        cosine=None if model.num_classes else mean,
        floor=chance + _FLOOR * (1 - chance),
    )
