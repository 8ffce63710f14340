"""Choices under a budget, and how they are refined."""

import pytest

from vitquant.config.bits import Bits
from vitquant.core.progress import Silent
from vitquant.quantization.bit_allocation.activations import activation_values
from vitquant.quantization.bit_allocation.measure import Measure
from vitquant.quantization.bit_allocation.search import (
    BitSearch,
    Budget,
    corners,
    filled_in,
    mean_activation_bits,
    neighbors,
)
from vitquant.quantization.bit_allocation.switchable import SwitchableModel

WIDTHS = [Bits(w, a) for w in (2, 3, 4, 8) for a in (3, 4, 8)]


@pytest.fixture
def search(make_small, make_context, settings, batch):
    context = make_context(make_small("vit"), settings())
    model = SwitchableModel(context, WIDTHS)
    matmuls = {point.name: [b for b in WIDTHS if b.weight == 8] for point in context.points.matmuls}
    choices = {point.name: WIDTHS for point in context.points.layers} | matmuls
    values = activation_values(context.float_model, context.points, batch)
    counts = {
        point.name: context.float_model.get_submodule(point.name).weight.numel()
        for point in context.points.layers
    }
    made = BitSearch(
        Measure(context, model, images=4),
        choices,
        lambda name, bits: int(counts.get(name, 0) * bits / 8),
        values,
        Silent(),
    )
    made.use(made.measure_alone())
    return made


def test_what_is_chosen_fits_and_is_expected_to_lose_no_more_than_uniform(search):
    same = {n: Bits(4, 4) if Bits(4, 4) in own else Bits(8, 4) for n, own in search.losses.items()}
    budget = Budget(search.bytes(same), mean_activation_bits(same, search.values))
    found = search.choose(budget)
    assert search.bytes(found) <= budget.bytes
    assert mean_activation_bits(found, search.values) <= budget.activation_bits + 1e-6
    assert search.expected(found) <= search.expected(same) * 1.001
    assert len(set(found.values())) > 1


def test_more_bytes_lose_less(search):
    sizes = [search.least_bytes(), search.most_bytes() // 2, search.most_bytes()]
    expected = [search.expected(search.choose(Budget(size))) for size in sizes]
    assert expected == sorted(expected, reverse=True)
    assert search.choose(Budget(search.least_bytes() - 1)) is None


def test_refining_never_makes_it_worse(search):
    budget = Budget((search.least_bytes() + search.most_bytes()) / 3)
    first = search.choose(budget)
    found = search.refine(first, budget, rounds=3)
    measured = [r.measured for r in found.rounds]
    assert measured[1:] == sorted(measured[1:], reverse=True)
    assert all(m < measured[0] for m in measured[1:])
    assert search.bytes(found.bits) <= budget.bytes
    assert search.measured(found.bits).divergence == pytest.approx(measured[-1], rel=1e-5)
    changed = [name for name in first if first[name] != found.bits[name]]
    assert bool(changed) == (len(found.rounds) > 1)


def test_no_rounds_keep_the_choice(search):
    budget = Budget(search.most_bytes() / 2)
    first = search.choose(budget)
    found = search.refine(first, budget, rounds=0)
    assert found.bits == first
    assert len(found.rounds) == 1


def test_corners_and_the_sums_between_them():
    assert set(corners(WIDTHS)) == {b for b in WIDTHS if b.weight == 8 or b.activation == 8}
    losses = {b: 1 / b.weight + 1 / b.activation for b in corners(WIDTHS)}
    every = filled_in(losses, WIDTHS)
    assert set(every) == set(WIDTHS)
    for bits, loss in every.items():
        assert loss == pytest.approx(1 / bits.weight + 1 / bits.activation)


def test_a_sum_is_never_negative():
    losses = {Bits(8, 8): 1.0, Bits(4, 8): 0.1, Bits(8, 4): 0.2}
    assert filled_in(losses, [Bits(w, a) for w in (4, 8) for a in (4, 8)])[Bits(4, 4)] == 0


def test_neighbors_are_one_step_away():
    assert set(neighbors(Bits(3, 4), WIDTHS)) == {Bits(2, 4), Bits(4, 4), Bits(3, 3), Bits(3, 8)}
    assert set(neighbors(Bits(8, 8), WIDTHS)) == {Bits(4, 8), Bits(8, 4)}
    assert neighbors(Bits(8, 8), [Bits(8, 8)]) == []
