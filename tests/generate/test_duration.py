"""How long is said, and when."""

import time

import pytest

from vitquant.generate.duration import Stopwatch, in_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 second"), (40, "40 seconds"), (130, "2 minutes"), (3000, "50 minutes"),
     (2.2 * 3600, "2 hours"), (2 * 86400, "2 days")],
)  # fmt: skip
def test_it_is_said_in_a_fitting_unit(seconds, words):
    assert in_words(seconds) == words


@pytest.mark.parametrize("steps", [1, 2, 3, 50])
def test_it_is_told_once_and_in_proportion(steps):
    told = []
    watch = Stopwatch(steps, told.append)
    for _ in range(steps):
        time.sleep(0.01)
        watch.tick()
    assert len(told) == 1
    assert 0.005 * steps < told[0] < 10 * steps
