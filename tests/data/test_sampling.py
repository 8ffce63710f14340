from collections import Counter

import pytest

from vitquant.data.image_source import ListSource
from vitquant.data.loader import stratified_sample


def source(labels: list[int] | None, n: int) -> ListSource:
    return ListSource("x", [None] * n, labels)


LABELS = [0] * 50 + [1] * 5 + [2] * 20 + [-1] * 2


@pytest.mark.parametrize(("samples", "most"), [(4, [1, 1, 1, 1]), (11, [3, 3, 3, 2])])
def test_spread_over_classes(samples, most):
    chosen = stratified_sample(source(LABELS, 77), samples, seed=0)
    assert len(set(chosen)) == samples
    assert sorted(Counter(LABELS[i] for i in chosen).values(), reverse=True) == most


def test_large_classes_fill_up_for_small_ones():
    counts = Counter(LABELS[i] for i in stratified_sample(source(LABELS, 77), 60, seed=0))
    assert counts == {0: 33, 1: 5, 2: 20, -1: 2}


def test_same_seed_same_choice():
    first, second, third = (stratified_sample(source(LABELS, 77), 11, seed) for seed in (3, 3, 4))
    assert first == second != third


def test_without_labels():
    chosen = stratified_sample(source(None, 100), 10, seed=0)
    assert len(set(chosen)) == 10
    assert chosen != list(range(10))


@pytest.mark.parametrize("samples", [None, 77, 1000])
def test_all(samples):
    chosen = stratified_sample(source(LABELS, 77), samples, seed=0)
    assert sorted(chosen) == list(range(77))
    assert len({LABELS[i] for i in chosen[:4]}) == 4
