"""The mean cosine of a set."""

from itertools import combinations

import pytest
import torch
import torch.nn.functional as F

from vitquant.generate.similarity import mean_similarity


def test_it_is_the_mean_over_all_pairs():
    vectors = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    for found, members in zip(mean_similarity(vectors), vectors, strict=True):
        pairs = [F.cosine_similarity(a, b, dim=0) for a, b in combinations(members, 2)]
        assert found.item() == pytest.approx(torch.stack(pairs).mean().item(), abs=1e-6)


def test_equal_vectors_are_alike_and_one_is_alike_to_nothing():
    assert mean_similarity(torch.ones(3, 4)).item() == pytest.approx(1)
    assert mean_similarity(torch.ones(2, 1, 4)).tolist() == [0, 0]
