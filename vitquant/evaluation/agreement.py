"""How much of the float model is left in a quantized one, without labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vitquant.core import distributed
from vitquant.data.image_source import ImageSource
from vitquant.data.loader import load_batches
from vitquant.evaluation.output_error import ErrorSums, is_finite
from vitquant.models.model import Model

# Enough to tell a model that works from one that does not, in the time of a few training steps.
_IMAGES = 256
_BATCH = 32
_SMALL_BATCH = 8
# Of the way from a random guess, which is what a lost model comes down to, to the float model's.
# Ternary DeiT-Tiny, trained too short to be of use, still comes twice as far.
_FLOOR = 0.2
MOST_ERROR = 1 - _FLOOR
"""The relative error above which a model without classes has collapsed: 1 is that of an output that
is always the mean."""


def least_agreement(num_classes: int) -> float:
    """The agreement below which a model of so many classes has collapsed, a fraction."""
    chance = 1 / max(1, num_classes)
    return chance + _FLOOR * (1 - chance)


def same_top1(found: Tensor, expected: Tensor) -> Tensor:
    """(B,), bool: for which images two models' logits (B, classes) have the same top-1
    prediction.

    An image for which a logit of either is NaN or infinite agrees with nothing.
    """
    same = found.argmax(-1) == expected.argmax(-1)
    return same & is_finite(found) & is_finite(expected)


@dataclass(frozen=True)
class OutputAgreement:
    """How far the outputs of two models agree on the same images.

    Attributes:
        agreement: the fraction of images on which both top-1 predictions are the same; None for
            models of fewer than two classes.
        difference: the root mean square of the outputs' difference, divided by the standard
            deviation of the first model's outputs; infinite where an output is NaN or infinite.
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
    agreement = float(same_top1(found, expected).double().mean()) if num_classes > 1 else None
    errors = ErrorSums()
    errors.add(found, expected)
    return OutputAgreement(agreement, errors.result().relative_error)


@dataclass(frozen=True)
class Fidelity:
    """How far a quantized model agrees with its float model on calibration images.

    Attributes:
        images: how many were compared, not augmented.
        agreement: the fraction on which both top-1 predictions are the same; None for models of
            fewer than two classes.
        cosine: the mean cosine similarity of the outputs; None for models with a classifier.
        floor: the agreement below which the model has collapsed, a fraction.
        relative_error: the root mean square of the outputs' difference, divided by the standard
            deviation of the float model's; None for models of two or more classes.
        not_finite: images for which an output of either model is NaN or infinite.
    """

    images: int
    agreement: float | None
    cosine: float | None
    floor: float
    relative_error: float | None = None
    not_finite: int = 0

    @property
    def collapsed(self) -> bool:
        """Whether the agreement is below ``floor``, or ``relative_error`` above ``MOST_ERROR``."""
        if self.agreement is not None:
            return self.agreement < self.floor
        return self.relative_error is not None and self.relative_error > MOST_ERROR

    def __str__(self) -> str:
        if self.agreement is not None:
            return f"agreement with float {self.agreement:.1%} on {self.images} calibration images"
        cosine = "" if self.cosine is None else f"cosine similarity with float {self.cosine:.3f}, "
        return f"{cosine}relative error {self.relative_error:.3f} on {self.images} images"


@torch.inference_mode()
def compare(
    model: Model, reference: Model, images: ImageSource, device: torch.device | str
) -> Fidelity:
    """Compare a model with the one that it was made from, on up to 256 images, not augmented.

    Raises UserError for an image that cannot be read.
    """
    count = min(_IMAGES, len(images))
    own = distributed.rank_slice(count, _BATCH)
    agreed, broken, errors = 0, 0, ErrorSums()
    for batch, _ in load_batches(images, own, model.transform(), _BATCH):
        found, expected = (m(batch.to(device)).float() for m in (model, reference))
        if model.num_classes > 1:
            agreed += int(same_top1(found, expected).sum())
            broken += int((~(is_finite(found) & is_finite(expected))).sum())
        else:
            errors.add(found, expected)
    floor = least_agreement(model.num_classes)
    if model.num_classes > 1:
        agreed, broken = map(int, distributed.all_reduce_scalars([agreed, broken]))
        return Fidelity(count, agreed / count, None, floor, not_finite=broken)
    errors.all_reduce()
    found_error = errors.result()
    return Fidelity(
        count, None, found_error.cosine, floor, found_error.relative_error, found_error.not_finite
    )
