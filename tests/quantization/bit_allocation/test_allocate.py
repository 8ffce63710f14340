"""The integer program finds what trying everything finds."""

import itertools
import random

import pytest

from vitquant.config.bits import Bits
from vitquant.quantization.bit_allocation.allocate import Option, allocate, total

WIDTHS = [Bits(w, a) for w in (2, 4, 8) for a in (4, 8)]


@pytest.fixture
def options():
    generator = random.Random(0)
    return {
        f"layer{i}": [
            Option(
                bits,
                generator.random() / bits.weight / bits.activation,
                int((10 + i) * bits.weight),
                (5.0 + i) * bits.activation,
                bits != WIDTHS[0],
            )
            for bits in WIDTHS
        ]
        for i in range(5)
    }


def best(options, max_bytes, max_activation_bits, max_changes):
    """By trying every combination."""
    found = None
    for chosen in itertools.product(*options.values()):
        fits = (
            sum(o.bytes for o in chosen) <= max_bytes
            and sum(o.activation_bits for o in chosen) <= max_activation_bits
            and sum(o.changes for o in chosen) <= max_changes
        )
        loss = sum(o.loss for o in chosen)
        if fits and (found is None or loss < found):
            found = loss
    return found


INF = float("inf")


@pytest.mark.parametrize(
    "limits",
    [(200, INF, INF), (260, 250.0, INF), (10**6, 200.0, INF), (300, 300.0, 2), (480, INF, 5)],
)
def test_nothing_is_better(options, limits):
    found = allocate(options, *limits)
    assert total(options, found, "bytes") <= limits[0]
    assert total(options, found, "activation_bits") <= limits[1]
    assert total(options, found, "changes") <= limits[2]
    assert total(options, found, "loss") == pytest.approx(best(options, *limits), rel=2e-3)


def test_nothing_fits(options):
    assert allocate(options, 10) is None
    assert allocate(options, 10**6, 1.0) is None


def test_what_costs_nothing_takes_the_most(options):
    free = {name: [o._replace(loss=0.0) for o in own] for name, own in options.items()}
    assert set(allocate(free, 10**6)) == set(options)
