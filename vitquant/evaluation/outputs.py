"""What two models' outputs have in common."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class OutputAgreement:
    """agreement: the fraction of images on which both top-1 predictions are the same; None for
    models without a classifier. difference: the root mean square of the outputs' difference,
    relative to the standard deviation of the first model's outputs."""

    agreement: float | None
    difference: float


def compare_outputs(expected: Tensor, found: Tensor, num_classes: int) -> OutputAgreement:
    """Compare outputs (N, ...) of two models. num_classes: 0 without a classifier.

    An image with an output that is no finite number agrees with nothing.
    """
    agreement = None
    if num_classes:
        same = expected.argmax(-1) == found.argmax(-1)
        agreement = float((same & found.isfinite().all(-1)).double().mean())
    difference = (found - expected).square().mean().sqrt() / expected.std()
    return OutputAgreement(agreement, float(difference.nan_to_num(float("inf"))))
