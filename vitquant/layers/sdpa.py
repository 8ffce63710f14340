"""Scaled dot-product attention taken apart, so that its two products can be replaced."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

Matmul = Callable[[Tensor, Tensor], Tensor]


def attention(
    qk: Matmul,
    av: Matmul,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """The arguments of ``F.scaled_dot_product_attention`` behind the two products to use."""
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
        value = value.repeat_interleave(query.shape[-3] // value.shape[-3], -3)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    logits = qk(query * scale, key.mT)
    if is_causal:
        attn_mask = torch.ones(logits.shape[-2:], dtype=torch.bool, device=query.device).tril()
    if attn_mask is not None:
        if attn_mask.dtype == torch.bool:
            logits = logits.masked_fill(~attn_mask, -torch.inf)
        else:
            logits = logits + attn_mask
    weights = torch.dropout(logits.softmax(-1), dropout_p, train=True)
    return av(weights, value)
