"""The same function of the same images, computed in a basis in which no channel stands out.

One scale for all channels of an activation has to cover the widest of them. Multiplied by a random
orthogonal matrix, each channel holds a little of everything, and none is much wider than the others
(QuaRot, arXiv 2404.00456, section 4). The matrices are absorbed by the layers on both sides, so
nothing is left of them to compute.

QuaRot's models divide by the root mean square of their tokens; a ViT's LayerNorm takes off the mean
first. So the residual stream is rotated about the one direction that the mean is taken along.
"""

from collections.abc import Iterator
from typing import Any

import torch
from timm.layers import LayerScale
from torch import Tensor, nn


@torch.no_grad()
def rotate(model: Any, images: Tensor, seed: int) -> bool:
    """Rotate a float model in eval mode, in place: its residual stream and its heads.

    That is known for ViTs that add to their stream what follows a LayerNorm and nothing else, such
    as DeiT and DINOv2. Whether a model is one of them shows in its output for ``images``
    (B, C, H, W), which has to stay the same.

    Returns whether it is; if it is not, the model is of no use afterwards.
    """
    before = model(images)
    generator = torch.Generator().manual_seed(seed)
    try:
        model.double()
        _rotate_stream(model, _mean_preserving_orthogonal(model.embed_dim, generator))
        for block in model.blocks:
            _rotate_heads(block.attn, generator)
    except (AttributeError, RuntimeError, TypeError):  # parts that are missing, or have other sizes
        return False
    after = model.float()(images)
    return torch.allclose(after, before, rtol=1e-3, atol=1e-3 * float(before.abs().max()))


def _rotate_stream(model: Any, rotation: Tensor) -> None:
    for norm, layers in _readers(model):
        for layer in layers:
            layer.bias.add_(layer.weight @ norm.bias)
            layer.weight.copy_(layer.weight * norm.weight @ rotation)
        norm.weight.fill_(1)
        norm.bias.zero_()
    for layer, scale in _writers(model):
        weight = layer.weight.flatten(1)
        if isinstance(scale, LayerScale):
            weight = weight * scale.gamma[:, None]
            layer.bias *= scale.gamma
            scale.gamma.fill_(1)
        layer.weight.copy_((rotation.mT @ weight).view_as(layer.weight))
        layer.bias.copy_(layer.bias @ rotation)
    for parameter in model.parameters(recurse=False):
        parameter.copy_(parameter @ rotation)


def _readers(model: Any) -> Iterator[tuple[nn.LayerNorm, list[nn.Linear]]]:
    """Normalizations of the stream, each with the layers that see nothing else."""
    for block in model.blocks:
        yield block.norm1, [block.attn.qkv]
        yield block.norm2, [block.mlp.fc1]
    last = model.norm if isinstance(model.norm, nn.LayerNorm) else model.fc_norm
    yield last, [model.head, *([model.head_dist] if hasattr(model, "head_dist") else [])]


def _writers(model: Any) -> Iterator[tuple[Any, nn.Module | None]]:
    """Layers whose output is added to the stream, with what scales that first."""
    yield model.patch_embed.proj, None
    for block in model.blocks:
        yield block.attn.proj, block.ls1
        yield block.mlp.fc2, block.ls2


def _rotate_heads(attention: Any, generator: torch.Generator) -> None:
    """Queries and keys of a head by one matrix, which their product loses; values by another."""
    heads, size = attention.num_heads, attention.head_dim
    weight = attention.qkv.weight.view(3, heads, size, -1)
    bias = attention.qkv.bias.view(3, heads, size)
    out = attention.proj.weight.view(-1, heads, size)
    for head in range(heads):
        together, values = _orthogonal(size, generator), _orthogonal(size, generator)
        for kind, rotation in enumerate((together, together, values)):
            weight[kind, head] = rotation.mT @ weight[kind, head]
            bias[kind, head] = bias[kind, head] @ rotation
        out[:, head] = out[:, head] @ values


def _mean_preserving_orthogonal(size: int, generator: torch.Generator) -> Tensor:
    """(size, size): orthogonal, and maps a vector whose elements are all alike to itself."""
    alike = torch.full((size, 1), size**-0.5, dtype=torch.float64)
    others = torch.linalg.svd(alike)[0][:, 1:]
    return alike @ alike.mT + others @ _orthogonal(size - 1, generator) @ others.mT


def _orthogonal(size: int, generator: torch.Generator) -> Tensor:
    """(size, size), float64, any orthogonal matrix as likely as any other."""
    q, r = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))
    return q * r.diagonal().sign()
