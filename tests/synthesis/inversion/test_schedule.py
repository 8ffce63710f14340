"""From the whole image to small crops, at a rate that rises and falls."""

import pytest

from vitquant.synthesis.inversion.schedule import Schedule


def test_the_area_shrinks_to_the_smallest():
    schedule = Schedule(iterations=11, rounds=2, smallest=0.25)
    areas = [schedule.area(i) for i in range(11)]
    assert areas == sorted(areas, reverse=True)
    assert (areas[0], areas[-1]) == (1, pytest.approx(0.25))
    assert areas[5] == pytest.approx(0.75**2)  # half-way along the side


def test_plain_looks_at_everything_throughout():
    schedule = Schedule(iterations=7, rounds=1, smallest=1.0)
    assert {schedule.area(i) for i in range(7)} == {1.0}


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_the_rate_rises_and_falls_in_each_round(rounds):
    length = 20
    schedule = Schedule(length * rounds, rounds, 1.0)
    rates = [schedule.rate(i) for i in range(length * rounds)]
    for number in range(rounds):
        part = rates[number * length : (number + 1) * length]
        top = part.index(max(part))
        assert part[: top + 1] == sorted(part[: top + 1])
        assert part[top:] == sorted(part[top:], reverse=True)
        assert max(part) == 1
        assert 0 < min(part) < 0.3


def test_shifts_grow_with_the_round():
    schedule = Schedule(10, 2, 1.0)
    assert [schedule.jitter(i, 224) for i in (0, 4, 5, 9)] == [15, 15, 30, 30]


@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_few_iterations(iterations):
    schedule = Schedule(iterations, 2, 0.2)
    for i in range(iterations):
        assert 0 < schedule.rate(i) <= 1
        assert 0.2 <= schedule.area(i) + 1e-9 <= 1 + 1e-9
