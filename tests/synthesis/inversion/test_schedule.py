"""From the whole image to small crops, at a rate that rises and falls."""

import pytest

from vitquant.synthesis.inversion.schedule import Schedule


def test_the_area_shrinks_to_the_smallest_crop():
    schedule = Schedule(iterations=11, lr_cycles=2, min_crop=0.25)
    areas = [schedule.area(i) for i in range(11)]
    assert areas == sorted(areas, reverse=True)
    assert (areas[0], areas[-1]) == (1, pytest.approx(0.25))
    assert areas[5] == pytest.approx(0.75**2)  # half-way along the side


def test_plain_looks_at_everything_throughout():
    schedule = Schedule(iterations=7, lr_cycles=1, min_crop=1.0)
    assert {schedule.area(i) for i in range(7)} == {1.0}


@pytest.mark.parametrize("cycles", [1, 2, 3])
def test_the_rate_rises_and_falls_in_each_cycle(cycles):
    length = 20
    schedule = Schedule(length * cycles, cycles, 1.0)
    rates = [schedule.lr_scale(i) for i in range(length * cycles)]
    for number in range(cycles):
        part = rates[number * length : (number + 1) * length]
        top = part.index(max(part))
        assert part[: top + 1] == sorted(part[: top + 1])
        assert part[top:] == sorted(part[top:], reverse=True)
        assert max(part) == 1
        assert 0 < min(part) < 0.3


def test_shifts_grow_with_the_cycle():
    schedule = Schedule(10, 2, 1.0)
    assert [schedule.jitter(i, 224) for i in (0, 4, 5, 9)] == [15, 15, 30, 30]


@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_few_iterations(iterations):
    schedule = Schedule(iterations, 2, 0.2)
    for i in range(iterations):
        assert 0 < schedule.lr_scale(i) <= 1
        assert 0.2 <= schedule.area(i) + 1e-9 <= 1 + 1e-9
