"""A model that computes some of an image's patches only, others in every pass.

PatchDropout (Liu et al., arXiv 2208.07220): a vision transformer recognizes an image by half of its
patches, and every layer behind the position embedding costs in proportion to them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vitquant.models.model import Model
from vitquant.quantization.graph.points import example_inputs


@dataclass
class KeptPatches:
    """indices: (B, K), of the patches that the next pass computes; None for all of them."""

    indices: Tensor | None = None


@contextmanager
def patches_kept(model: Model, block: str) -> Iterator[KeptPatches]:
    """What sets which patches enter ``block``, the first of a model that :func:`can_drop`."""
    kept = KeptPatches()
    prefix = model.tokens.num_prefix_tokens

    def select(module: nn.Module, args: tuple) -> tuple | None:
        if kept.indices is None:
            return None
        tokens, *rest = args
        index = (kept.indices + prefix)[..., None].expand(-1, -1, tokens.shape[-1])
        return torch.cat([tokens[:, :prefix], tokens.gather(1, index)], 1), *rest

    handle = model.module.get_submodule(block).register_forward_pre_hook(select)
    try:
        yield kept
    finally:
        handle.remove()


@torch.no_grad()
def can_drop(model: Model, blocks: Sequence[str]) -> bool:
    """Whether any of the patches can be left out in front of the first of the model's ``blocks``.

    So it is where their order does not matter there: positions have been added already, and
    nothing behind, such as windows, a bias by distance or a convolution, looks at neighbors.
    """
    count = model.tokens.patches
    if not count or not blocks:
        return False
    device = next(model.module.parameters()).device
    images = example_inputs(model.input_size).to(device)
    # Not constant, so that patches differ.
    images = images + torch.linspace(-1, 1, images[0].numel(), device=device).view(images[0].shape)
    order = torch.arange(count, device=device).flip(0).expand(len(images), -1)
    shapes: list[Any] = []
    try:
        with patches_kept(model, blocks[0]) as kept:
            whole = model(images)
            kept.indices = order
            reordered = model(images)
            kept.indices = order[:, : (count + 1) // 2]
            shapes.append(model(images).shape)
    except (RuntimeError, ValueError, IndexError, AssertionError):
        return False  # a part of the model expects all patches
    return shapes == [whole.shape] and torch.allclose(whole, reordered, rtol=1e-3, atol=1e-3)
