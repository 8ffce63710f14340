"""Features and logits of a model, a cache of the teacher's, and teacher forcing.

The float model is the teacher. With few bits, the outputs of the first blocks of a quantized model
are wrong at the start, and later blocks would learn to correct errors that soon are gone. So at
first each block gets the teacher's features in place of those of the block before it, then a
mixture with less and less of the teacher's. As with recurrent networks (Williams and Zipser, 1989;
scheduled sampling, Bengio et al., arXiv 1506.03099) and quantized language models (Teacher
Intervention, Kim et al., arXiv 2302.11812). Gradients cross from block to block as far as features
do: from the local ones of BRECQ to those of joint training.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from vitquant.config.quantize import QuantizeSettings
from vitquant.models.adapter import Forward
from vitquant.quantization.training.batches import Key


class Feeding(Protocol):
    """What blocks are fed."""

    def mix(self, block: int, feature: Tensor) -> Tensor:
        """What follows a block, by its number in order, that has put out ``feature``."""
        ...


class TeacherForcing(NamedTuple):
    """As a :class:`Feeding`: ``ratio`` (0 to 1) of each of the float model's ``features``."""

    features: list[Tensor]
    ratio: float

    def mix(self, block: int, feature: Tensor) -> Tensor:
        """As of a :class:`Feeding`."""
        if not self.ratio:
            return feature
        return torch.lerp(feature, self.features[block].to(feature), self.ratio)


def teacher_forcing_ratio(step: int, settings: QuantizeSettings) -> float:
    """The float model's share in a step, counted from 1: from 1 in even steps down to 0."""
    forced = settings.teacher_forcing * settings.steps
    return max(0.0, 1 - (step - 1) / forced) if forced else 0.0


class Outputs(NamedTuple):
    """What a model computes for a batch: its blocks' outputs, in order, and its logits (B, N)."""

    features: list[Tensor]
    logits: Tensor


class FeatureExtractor(Protocol):
    """Runs a model on images (B, C, H, W), its blocks fed as ``forcing`` says."""

    def __call__(self, images: Tensor, forcing: Feeding | None = None) -> Outputs: ...


@contextmanager
def capture_features(
    module: nn.Module,
    blocks: Sequence[str],
    forward: Forward = nn.Module.__call__,
) -> Iterator[FeatureExtractor]:
    """A function that runs ``module`` on images and returns :class:`Outputs`.

    forward: how to get logits from it, by default by calling it.
    """
    features: dict[int, Tensor] = {}
    # Stays until the next run: a backward pass computes checkpointed blocks again.
    current: list[Feeding | None] = [None]

    def keep(block: int):
        def hook(module, args, output):
            several = isinstance(output, tuple)
            features[block] = output[0] if several else output
            if current[0] is None:
                return None
            fed = current[0].mix(block, features[block])
            return (fed, *output[1:]) if several else fed

        return hook

    handles = [
        module.get_submodule(name).register_forward_hook(keep(i)) for i, name in enumerate(blocks)
    ]

    def run(images: Tensor, forcing: Feeding | None = None) -> Outputs:
        current[0] = forcing
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
        caches: whether views recur. Outputs are then computed once for each and kept in the host's
            memory as bfloat16: for DeiT-Tiny 0.9 MB a view.
    """

    def __init__(self, run: FeatureExtractor, caches: bool) -> None:
        self._run = run
        self._caches = caches
        self._cache: dict[Key, Outputs] = {}

    @torch.no_grad()
    def __call__(self, images: Tensor, keys: list[Key]) -> Outputs:
        """Features and logits of ``images`` (B, C, H, W), views with the given keys."""
        if not self._caches:
            return self._run(images)
        if not all(key in self._cache for key in keys):
            self._store(keys, self._run(images))
        # Read from the cache the first time too, so that a view always has the same outputs.
        cached = [self._cache[key] for key in keys]
        features = [
            torch.stack(f).to(images) for f in zip(*(o.features for o in cached), strict=True)
        ]
        return Outputs(features, torch.stack([o.logits for o in cached]).to(images))

    def _store(self, keys: list[Key], outputs: Outputs) -> None:
        features = [feature.to("cpu", torch.bfloat16) for feature in outputs.features]
        logits = outputs.logits.to("cpu", torch.bfloat16)
        for i, key in enumerate(keys):
            self._cache[key] = Outputs([f[i].clone() for f in features], logits[i].clone())
