"""The same function of the same images, computed in a basis in which no channel stands out.

One scale for all channels of an activation has to cover the widest of them. Multiplied by a random
orthogonal matrix, each channel holds a little of everything, and none is much wider than the others
(QuaRot, arXiv 2404.00456, section 4). The matrices are absorbed by the layers on both sides, so
nothing is left of them to compute.

QuaRot's models divide by the root mean square of their tokens; a ViT's LayerNorm takes off the mean
first. So the residual stream is rotated about the one direction that the mean is taken along.
"""

import torch
from torch import Tensor, nn

from vitquant.models.adapter import ResidualStream
from vitquant.models.model import Model


@torch.no_grad()
def rotate(model: Model, images: Tensor, seed: int) -> bool:
    """Rotate a float model in eval mode, in place: its residual stream and its heads.

    That is known for ViTs that add to their stream what follows a LayerNorm and nothing else, such
    as DeiT and DINOv2. Whether a model is one of them is asked of its output for ``images``
    (B, C, H, W), which has to stay the same.

    Returns whether it is; if it is not, the model is of no use afterwards.
    """
    before = model(images)
    stream = model.adapter.residual_stream(model.module)
    if stream is None:
        return False
    generator = torch.Generator().manual_seed(seed)
    try:
        model.module.double()
        _rotate_stream(stream, _mean_preserving_orthogonal(stream.width, generator))
        for qkv, out, heads in stream.attentions:
            _rotate_heads(qkv, out, heads, generator)
    except (AttributeError, RuntimeError, TypeError):  # biases that are missing, or other sizes
        return False
    model.module.float()
    return torch.allclose(model(images), before, rtol=1e-3, atol=1e-3 * float(before.abs().max()))


def _rotate_stream(stream: ResidualStream, turn: Tensor) -> None:
    for norm, layers in stream.readers:
        for layer in layers:
            layer.bias += layer.weight @ norm.bias
            layer.weight.copy_(layer.weight * norm.weight @ turn)
        norm.weight.fill_(1)
        norm.bias.zero_()
    for layer, scale in stream.writers:
        weight = layer.weight.flatten(1)
        if scale is not None:
            weight = weight * scale[:, None]
            layer.bias *= scale
            scale.fill_(1)
        layer.weight.copy_((turn.mT @ weight).view_as(layer.weight))
        layer.bias.copy_(layer.bias @ turn)
    for parameter in stream.parameters:
        parameter.copy_(parameter @ turn)


def _rotate_heads(qkv: nn.Linear, proj: nn.Linear, heads: int, generator: torch.Generator) -> None:
    """Queries and keys of a head by one matrix, which their product loses; values by another."""
    size = proj.in_features // heads
    weight = qkv.weight.view(3, heads, size, -1)
    bias = qkv.bias.view(3, heads, size)
    out = proj.weight.view(-1, heads, size)
    for head in range(heads):
        together, values = _orthogonal(size, generator), _orthogonal(size, generator)
        for kind, turn in enumerate((together, together, values)):
            weight[kind, head] = turn.mT @ weight[kind, head]
            bias[kind, head] = bias[kind, head] @ turn
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
