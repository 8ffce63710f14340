"""The matmuls of two activations in an attention, and the attention taken apart around them."""

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from vitquant.config.targets.base import Symmetry
from vitquant.quantization.quantizers.compiled import Compilable
from vitquant.quantization.quantizers.grid import NO_PREFIX, Grid, PrefixFormat
from vitquant.quantization.quantizers.matmul import quantized_matmul
from vitquant.quantization.quantizers.modules import FrozenQuantizer, LearnableFakeQuantize

Quantizer = LearnableFakeQuantize | FrozenQuantizer


class QuantizedMatmul(Compilable):
    """``left @ right`` with each operand on its own grid. Shapes (..., M, K) and (..., K, N).

    The left one's heads may have scales of their own: attention weights that are even, and so
    small, in one head and sharp in another would need both small levels and large ones. So may its
    prefix rows: what class tokens and registers attend to.
    """

    # What an exporter has the matmul compute in place of its own arithmetic.
    lowering: Callable[[Tensor, Tensor], Tensor] | None = None

    def __init__(self, left: Quantizer, right: Quantizer) -> None:
        super().__init__()
        self.left = left
        self.right = right

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        if self.lowering is not None:
            return self.lowering(left, right)
        a, b = self.left.qparams(num_tokens=left.shape[-2]), self.right.qparams()
        if left.shape[:-2] != right.shape[:-2]:
            batch = torch.broadcast_shapes(left.shape[:-2], right.shape[:-2])
            left = left.expand(*batch, *left.shape[-2:])
            right = right.expand(*batch, *right.shape[-2:])
        return quantized_matmul(left, right, a, b, use_compiled=self.compiled)

    def convert(self) -> "QuantizedMatmul":
        """The matmul as it is stored."""
        left, right = (
            cast(LearnableFakeQuantize, self.left),
            cast(LearnableFakeQuantize, self.right),
        )
        return QuantizedMatmul(left.freeze(), right.freeze())


def fake_quant_matmul(
    activation: Grid,
    heads: int = 0,
    prefix: PrefixFormat = NO_PREFIX,
    symmetry: Symmetry = Symmetry.NONE,
) -> QuantizedMatmul:
    """To be trained.

    heads, prefix: how many heads, and which rows, of the left operand have scales of their own.
    symmetry: of both operands.
    """
    return QuantizedMatmul(
        LearnableFakeQuantize(activation, heads, prefix, symmetry),
        LearnableFakeQuantize(activation, symmetry=symmetry),
    )


def frozen_matmul(
    activation: Grid, heads: int = 0, prefix: PrefixFormat = NO_PREFIX
) -> QuantizedMatmul:
    """To be filled from a checkpoint; heads and prefix as in :func:`fake_quant_matmul`."""
    return QuantizedMatmul(FrozenQuantizer(activation, heads, prefix), FrozenQuantizer(activation))


Matmul = Callable[[Tensor, Tensor], Tensor]


def decomposed_sdpa(
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
    """The arguments of ``F.scaled_dot_product_attention`` behind the two matmuls to use."""
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
