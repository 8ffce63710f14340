"""How alike the members of a set are."""

import torch.nn.functional as F
from torch import Tensor


def mean_similarity(vectors: Tensor) -> Tensor:
    """Mean cosine between different members of each set, (...).

    vectors: (..., N, D). A set of one is alike to nothing: 0.
    """
    count = vectors.shape[-2]
    if count < 2:
        return vectors.new_zeros(vectors.shape[:-2])
    unit = F.normalize(vectors, dim=-1)
    # The square of the sum has every pair twice, and each member with itself once.
    total = unit.sum(-2).square().sum(-1) - unit.square().sum((-1, -2))
    return total / (count * (count - 1))
