"""The float model as a teacher that need not be asked twice about the same view."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from vitquant.models.adapter import Forward
from vitquant.quantization.training.batches import Key
from vitquant.quantization.training.teacher_forcing import TeacherForcing


class Outputs(NamedTuple):
    """What a model computes for a batch: its blocks' outputs, in order, and its logits (B, N)."""

    features: list[Tensor]
    logits: Tensor


class FeatureExtractor(Protocol):
    """Runs a model on images (B, C, H, W); with a guide, its blocks are fed what that says."""

    def __call__(self, images: Tensor, guide: TeacherForcing | None = None) -> Outputs: ...


@contextmanager
def capture_features(
    module: nn.Module,
    blocks: list[str],
    forward: Forward = nn.Module.__call__,
) -> Iterator[FeatureExtractor]:
    """A function that runs ``module`` on images and returns :class:`Outputs`.

    forward: how to get logits from it, by default by calling it.
    """
    features: dict[int, Tensor] = {}
    # Stays until the next run: blocks that are checkpointed are computed again on the way back.
    guides: list[TeacherForcing | None] = [None]

    def keep(block: int):
        def hook(module, args, output):
            several = isinstance(output, tuple)
            features[block] = output[0] if several else output
            if guides[0] is None:
                return None
            fed = guides[0].mix(block, features[block])
            return (fed, *output[1:]) if several else fed

        return hook

    handles = [
        module.get_submodule(name).register_forward_hook(keep(i)) for i, name in enumerate(blocks)
    ]

    def run(images: Tensor, guide: TeacherForcing | None = None) -> Outputs:
        guides[0] = guide
        logits = forward(module, images)
        return Outputs([features[i] for i in range(len(blocks))], logits)

    try:
        yield run
    finally:
        for handle in handles:
            handle.remove()


class CachedTeacher:
    """The float model's outputs for views of images.

    Args:
        run: the float model.
        remembers: whether views recur. Outputs are then computed once for each and kept in the
            host's memory as bfloat16: for DeiT-Tiny 0.9 MB a view.
    """

    def __init__(self, run: FeatureExtractor, remembers: bool) -> None:
        self._run = run
        self._remembers = remembers
        self._known: dict[Key, Outputs] = {}

    @torch.no_grad()
    def __call__(self, images: Tensor, keys: list[Key]) -> Outputs:
        """Features and logits of ``images`` (B, C, H, W), views with the given keys."""
        if not self._remembers:
            return self._run(images)
        if not all(key in self._known for key in keys):
            self._remember(keys, self._run(images))
        # Read back also the first time, so that a view always gets the same answer.
        known = [self._known[key] for key in keys]
        features = [
            torch.stack(f).to(images) for f in zip(*(o.features for o in known), strict=True)
        ]
        return Outputs(features, torch.stack([o.logits for o in known]).to(images))

    def _remember(self, keys: list[Key], outputs: Outputs) -> None:
        features = [feature.to("cpu", torch.bfloat16) for feature in outputs.features]
        logits = outputs.logits.to("cpu", torch.bfloat16)
        for i, key in enumerate(keys):
            self._known[key] = Outputs([f[i].clone() for f in features], logits[i].clone())
