"""How far a quantized model is from the float one, without labels."""

import torch
import torch.nn.functional as F
from torch import Tensor

from vitquant.quantization.training.features import Outputs


def feature_loss(student: Outputs, teacher: Outputs) -> Tensor:
    """Mean over blocks and images of the squared error over the float feature's mean square."""
    terms = [relative_error(s, t) for s, t in zip(student.features, teacher.features, strict=True)]
    return torch.stack(terms).mean() if terms else student.logits.new_zeros(())


def logit_loss(student: Outputs, teacher: Outputs, classifies: bool) -> Tensor:
    """KL divergence from the float model's distribution over classes, in nats, mean over images.

    For a tower without a classifier, whose output is an embedding, the relative squared error.
    """
    if not classifies:
        return relative_error(student.logits, teacher.logits)
    s, t = (outputs.logits.float().log_softmax(-1) for outputs in (student, teacher))
    return F.kl_div(s, t, log_target=True, reduction="batchmean")


def relative_error(x: Tensor, reference: Tensor) -> Tensor:
    """Squared error over the mean square of ``reference``, image by image (first dimension), mean.

    A sum over images, so that parts of a batch add up to the same as the whole.
    """
    x, reference = x.float().flatten(1), reference.float().flatten(1)
    error = (x - reference).square().mean(1)
    return (error / reference.square().mean(1).clamp_min(1e-12)).mean()
