"""What is not the same for all rows of an activation: those at the front have their own."""

import torch
from torch import Tensor


def count(x: Tensor | None) -> int | None:
    """How many rows each image has in a layer's input ``x``; None where it has but one, or no x."""
    return x.shape[-2] if x is not None and x.dim() > 2 else None


def spread(table: Tensor, rows: int | None) -> Tensor:
    """(rows, C): the first rows of ``table`` (P + 1, C), then its last one again and again.

    That alone, (C,), where P is 0 or an image has but one row.
    """
    front, others = table[:-1], table[-1]
    if rows is None or not len(front):
        return others
    return torch.cat([front, others.expand(rows - len(front), -1)])
