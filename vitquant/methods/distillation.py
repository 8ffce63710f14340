"""How far a quantized model is from the float one, without labels."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitquant.methods.forcing import Guide


class Outputs(NamedTuple):
    """What a model computes for a batch: its blocks' outputs, in order, and its logits (B, N)."""

    features: list[Tensor]
    logits: Tensor


class Run(Protocol):
    """Runs a model on images (B, C, H, W); with a guide, its blocks are fed what that says."""

    def __call__(self, images: Tensor, guide: Guide | None = None) -> Outputs: ...


@contextmanager
def watched(module: nn.Module, blocks: list[str]) -> Iterator[Run]:
    """A function that runs ``module`` on images and returns :class:`Outputs`."""
    features: dict[int, Tensor] = {}
    # Stays until the next run: blocks that are checkpointed are computed again on the way back.
    guides: list[Guide | None] = [None]

    def keep(block: int):
        def hook(module, args, output):
            several = isinstance(output, tuple)
            features[block] = output[0] if several else output
            if guides[0] is None:
                return None
            fed = guides[0].feed(block, features[block])
            return (fed, *output[1:]) if several else fed

        return hook

    handles = [
        module.get_submodule(name).register_forward_hook(keep(i)) for i, name in enumerate(blocks)
    ]

    def run(images: Tensor, guide: Guide | None = None) -> Outputs:
        guides[0] = guide
        logits = module(images)
        return Outputs([features[i] for i in range(len(blocks))], logits)

    try:
        yield run
    finally:
        for handle in handles:
            handle.remove()


def feature_loss(student: Outputs, teacher: Outputs) -> Tensor:
    """Mean over blocks and images of the squared error over the float feature's energy."""
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
    """Squared error over the energy of ``reference``, image by image (first dimension), mean.

    A sum over images, so that parts of a batch add up to the same as the whole.
    """
    x, reference = x.float().flatten(1), reference.float().flatten(1)
    error = (x - reference).square().mean(1)
    return (error / reference.square().mean(1).clamp_min(1e-12)).mean()
