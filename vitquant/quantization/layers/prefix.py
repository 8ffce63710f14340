"""The prefix of an activation: rows of class tokens and registers, with scales of their own."""

from typing import NamedTuple

import torch
from torch import Tensor


class PrefixCorrection(NamedTuple):
    """How a matmul with one scale for all computes prefix rows, which have their own.

    scale_ratio: (P, 1); their input, shifted, is divided by it, and their output multiplied. bias:
    (P, O), added to that output, which has the layer's bias already, if there is one.
    """

    scale_ratio: Tensor
    bias: Tensor


def prefix_correction(
    prefix_scale: Tensor, scale: Tensor, prefix_bias: Tensor, bias: Tensor | None
) -> PrefixCorrection:
    """From scales (P, 1) and biases (P, O) of prefix rows, and those of all, () and (O,)."""
    ratio = prefix_scale / scale
    # The layer's bias is multiplied with the output, and is wanted once.
    own = prefix_bias if bias is None else prefix_bias + (1 - ratio) * bias
    return PrefixCorrection(ratio, own)


def num_tokens(x: Tensor | None) -> int | None:
    """Rows of each image in a layer's input ``x`` (..., N, C); None where it has one, or no x."""
    return x.shape[-2] if x is not None and x.dim() > 2 else None


def expand_to_tokens(table: Tensor, rows: int | None) -> Tensor:
    """(rows, C): the first rows of ``table`` (P + 1, C), then its last one again and again.

    That alone, (C,), where P is 0 or an image has but one row.
    """
    prefix, others = table[:-1], table[-1]
    if rows is None or not len(prefix):
        return others
    return torch.cat([prefix, others.expand(rows - len(prefix), -1)])
