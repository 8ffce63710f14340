"""How varied an image is to a vision transformer: the entropy of its patches' similarities.

PSAQ-ViT (Li, Ma, Chen, Xiao, Gu, arXiv 2203.02250, section 3.2): in a photograph, attention sets
foreground and background apart, so some patches are alike and others are not; in noise all are
alike. So the density of the cosine similarities between patches is wide, and its differential
entropy high.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitquant.models.model import Model

# The ends of the grid lie so many bandwidths beyond the least and the greatest similarity.
_MARGIN = 2
_NARROWEST = 1e-3
_TINY = 1e-12


def similarity_entropy(tokens: Tensor, points: int = 16) -> Tensor:
    """Differential entropy in nats, (B,), of the cosine similarities between different tokens.

    The density is a Gaussian kernel estimate on a grid of ``points``, whose spacing is also the
    kernel's bandwidth; it covers the similarities that occur, image by image. No gradient flows
    through the choice of the grid.

    tokens: (B, N, C), N at least 2.
    """
    unit = F.normalize(tokens, dim=-1)
    similarities = unit @ unit.mT
    count = tokens.shape[1]
    first, second = torch.triu_indices(count, count, offset=1, device=tokens.device)
    grid, bandwidth = _grid(similarities.detach()[:, first, second], points)
    return _Entropy.apply(similarities, first, second, grid, bandwidth)


def _grid(values: Tensor, points: int) -> tuple[Tensor, Tensor]:
    """Evenly spaced (B, points) around ``values`` (B, n), and their spacing (B, 1)."""
    low, high = values.amin(1, keepdim=True), values.amax(1, keepdim=True)
    spacing = ((high - low) / (points - 1 - 2 * _MARGIN)).clamp_min(_NARROWEST)
    steps = torch.arange(points, device=values.device, dtype=values.dtype) - (points - 1) / 2
    return (low + high) / 2 + steps * spacing, spacing


class _Entropy(torch.autograd.Function):
    """Its gradient is computed on the way forward: kept, the kernels would fill the memory."""

    @staticmethod
    def forward(
        ctx: Any, similarities: Tensor, first: Tensor, second: Tensor, grid: Tensor, width: Tensor
    ) -> Tensor:
        values = similarities[:, first, second]
        count = values.shape[1]
        normal = 1 / (count * width * (2 * torch.pi) ** 0.5)

        def kernels(k: int) -> tuple[Tensor, Tensor]:
            distance = (values - grid[:, k : k + 1]) / width
            return distance, distance.square().mul_(-0.5).exp_()

        density = (
            torch.cat([kernels(k)[1].sum(1, keepdim=True) for k in range(grid.shape[1])], 1)
            * normal
            + _TINY
        )
        weights = width.expand_as(grid).clone()  # the trapezoidal rule
        weights[:, [0, -1]] /= 2
        if ctx.needs_input_grad[0]:
            outer = -(density.log() + 1) * weights * normal / width
            gradient = torch.zeros_like(values)
            for k in range(grid.shape[1]):
                distance, kernel = kernels(k)
                gradient -= outer[:, k : k + 1] * distance * kernel
            ctx.save_for_backward(gradient, first, second)
            ctx.shape = similarities.shape
        return -(density * density.log() * weights).sum(1)

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor | None, ...]:
        gradient, first, second = ctx.saved_tensors
        whole = gradient.new_zeros(ctx.shape)
        whole[:, first, second] = gradient * above[:, None]
        return whole, None, None, None, None


@contextmanager
def attention_tokens(model: Model, attentions: list[str]) -> Iterator[list[Tensor]]:
    """A list that holds, after each forward pass, the patches in the output of each attention.

    Each is (B, N, C). The windows of a windowed attention are put together. Class and register
    tokens are left out, and so is an attention that returns fewer than two patches, such as a
    pooling. The list is to be cleared before each pass.

    attentions: names of the modules that compute attention products.
    """
    seen: list[Tensor] = []
    prefix = model.tokens.num_prefix_tokens
    images = 0

    def count(module: nn.Module, args: tuple) -> None:
        nonlocal images
        images = len(args[0])

    def keep(module: nn.Module, args: tuple, output: Any) -> None:
        output = output[0] if isinstance(output, tuple) else output
        whole = len(output) == images and output.dim() == 3  # not windows
        tokens = output.reshape(images, -1, output.shape[-1])
        tokens = tokens[:, prefix:] if whole else tokens
        if tokens.shape[1] >= 2:
            seen.append(tokens)

    handles = [model.module.register_forward_pre_hook(count)]
    handles += [model.module.get_submodule(name).register_forward_hook(keep) for name in attentions]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
