"""``nn.MultiheadAttention`` as Linears and scaled dot-product attention.

It computes all in one function, whose parts nobody can replace. The same function made of layers
has the form of timm's attentions: one Linear for queries, keys and values, one for the output.
"""

from typing import Any, NamedTuple, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Projection(NamedTuple):
    """A Linear that gives the next ``parts`` of queries, keys and values, from ``width`` inputs."""

    name: str
    parts: int
    width: int


class LayeredAttention(nn.Module):
    """What an ``nn.MultiheadAttention`` computes, from the same arguments.

    Its Linears are ``qkv``; or, if the query is another tensor than the keys, ``q`` and ``kv``, or
    ``q``, ``k`` and ``v``; and ``out_proj``.

    Args:
        replaced: without ``bias_k``, ``bias_v`` and ``add_zero_attn``.
        is_self: whether query, keys and values are one tensor. If they are, or are not, against
            expectation, the output is right all the same.
    """

    # What nn.TransformerEncoderLayer looks at before it computes with the weights by itself.
    in_proj_bias = None

    def __init__(self, replaced: nn.MultiheadAttention, is_self: bool) -> None:
        super().__init__()
        self.embed_dim, self.num_heads = replaced.embed_dim, replaced.num_heads
        self.batch_first, self.dropout = replaced.batch_first, replaced.dropout
        widths = (replaced.embed_dim, replaced.kdim, replaced.vdim)
        self.projections = _projections(widths, is_self)
        weights, biases = _weights(replaced)
        for name, parts, width in self.projections:
            linear = nn.Linear(width, parts * self.embed_dim, replaced.in_proj_bias is not None)
            linear.to(weights[0])
            with torch.no_grad():
                linear.weight.copy_(torch.cat(weights[:parts]))
                if linear.bias is not None:
                    linear.bias.copy_(torch.cat(biases[:parts]))
            weights, biases = weights[parts:], biases[parts:]
            self.add_module(name, linear)
        self.out_proj = replaced.out_proj
        self.train(replaced.training)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, None]:
        """The output, of the query's shape, and None: attention weights are not returned.

        Args:
            query, key, value: (B, N, C), (N, B, C) without ``batch_first``, or (N, C).
            key_padding_mask: (B, N) or (N), True for keys that are left out, or to be added.
            attn_mask: (M, N) or (B * heads, M, N), True for pairs that are left out, or to be
                added.
            is_causal: that the mask is causal, which is not looked at.

        Raises:
            RuntimeError: ``is_causal`` without a mask, as in torch.
        """
        if is_causal and attn_mask is None:
            raise RuntimeError("need attn_mask if specifying the is_causal hint")
        # Which of the tensors are one has to be known behind this too.
        q = self._batched(query)
        k = q if key is query else self._batched(key)
        v = q if value is query else k if value is key else self._batched(value)
        inputs, heads = [q, k, v], []
        for name, parts, _ in self.projections:
            heads += self._project(self.get_submodule(name), inputs[:parts])
            inputs = inputs[parts:]
        out = F.scaled_dot_product_attention(
            heads[0],
            heads[1],
            heads[2],
            attn_mask=self._mask(attn_mask, key_padding_mask, q),
            dropout_p=self.dropout if self.training else 0.0,
        )
        out = self.out_proj(out.transpose(1, 2).flatten(2))
        if query.dim() == 2:
            return out.squeeze(0), None
        return out if self.batch_first else out.transpose(0, 1), None

    def _batched(self, x: Tensor) -> Tensor:
        """(B, N, C)"""
        if x.dim() == 2:
            return x.unsqueeze(0)
        return x if self.batch_first else x.transpose(0, 1)

    def _project(self, linear: Any, inputs: list[Tensor]) -> list[Tensor]:
        """(B, heads, N, C / heads) of each input."""
        sizes = (len(inputs), self.num_heads, self.embed_dim // self.num_heads)
        if all(x is inputs[0] for x in inputs):
            parts = linear(inputs[0]).unflatten(-1, sizes).permute(2, 0, 3, 1, 4)
            return list(parts.unbind(0))
        # Parts of a layer: to quantize it, the whole of it would have to compute.
        weights, bias = linear.weight.chunk(sizes[0]), linear.bias
        biases = [None] * sizes[0] if bias is None else bias.chunk(sizes[0])
        found = map(F.linear, inputs, weights, biases)
        return [x.unflatten(-1, sizes[1:]).transpose(1, 2) for x in found]

    def _mask(
        self, attn_mask: Tensor | None, key_padding_mask: Tensor | None, like: Tensor
    ) -> Tensor | None:
        """What to add to the logits (B, heads, M, N)."""
        found = []
        if attn_mask is not None:
            mask = _added(attn_mask, like)
            found.append(mask if mask.dim() == 2 else mask.unflatten(0, (-1, self.num_heads)))
        if key_padding_mask is not None:
            found.append(_added(key_padding_mask, like)[..., None, None, :])
        return sum(found[1:], start=found[0]) if found else None


def _projections(widths: tuple[int, int, int], is_self: bool) -> list[Projection]:
    query, key, value = widths
    if key != value:
        return [Projection(n, 1, w) for n, w in zip("qkv", widths, strict=True)]
    if is_self and key == query:
        return [Projection("qkv", 3, query)]
    return [Projection("q", 1, query), Projection("kv", 2, key)]


def _weights(module: nn.MultiheadAttention) -> tuple[list[Tensor], list[Tensor]]:
    """Of queries, keys and values: weights (C, width) and biases (C,)."""
    if module.in_proj_weight is not None:
        weights = list(module.in_proj_weight.chunk(3))
    else:
        weights = [module.q_proj_weight, module.k_proj_weight, module.v_proj_weight]
    bias = module.in_proj_bias
    return weights, [] if bias is None else list(bias.chunk(3))


def _added(mask: Tensor, like: Tensor) -> Tensor:
    """A mask as what is added to logits."""
    if mask.dtype != torch.bool:
        return mask.to(like.dtype)
    return torch.zeros_like(mask, dtype=like.dtype).masked_fill(mask, -torch.inf)


def replace_multihead_attention(network: nn.Module) -> None:
    """Replace every ``nn.MultiheadAttention`` inside a network by layers, in place.

    The outputs stay the same, but for attention weights, which are None. Which of them attend to
    themselves is told by where they are: not those of a TransformerDecoderLayer to the encoder's
    output, those with "cross" in their name, and those beside learned queries, such as the pooling
    head of SigLIP. A self-attention gets one Linear for queries, keys and values.

    Left as they are: modules with ``bias_k``, ``bias_v`` or ``add_zero_attn``, and subclasses that
    compute something else. The network itself cannot be one.
    """
    done: dict[nn.Module, LayeredAttention] = {}
    for path, module in list(network.named_modules(remove_duplicate=False)):
        if isinstance(module, nn.TransformerEncoder):
            module.use_nested_tensor = False  # or it computes with the weights by itself
        if not path or not _is_replaceable(module):
            continue
        if module not in done:
            parent, _, name = path.rpartition(".")
            is_self = _is_self(network.get_submodule(parent), name, module.embed_dim)
            done[module] = LayeredAttention(module, is_self)
        network.set_submodule(path, done[module])


def _is_replaceable(module: nn.Module) -> TypeGuard[nn.MultiheadAttention]:
    return (
        isinstance(module, nn.MultiheadAttention)
        and type(module).forward is nn.MultiheadAttention.forward
        and module.bias_k is None
        and module.bias_v is None
        and not module.add_zero_attn
    )


def _is_self(owner: nn.Module, name: str, width: int) -> bool:
    if isinstance(owner, nn.TransformerDecoderLayer):
        return name != "multihead_attn"
    queries = [p for p in owner.parameters(recurse=False) if p.dim() > 1 and p.shape[-1] == width]
    return "cross" not in name.lower() and not queries
