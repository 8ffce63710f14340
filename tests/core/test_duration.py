"""How long is said, and when."""

import pytest

from vitquant.core.duration import Stopwatch, in_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 second"), (40, "40 seconds"), (130, "2 minutes"), (3000, "50 minutes"),
     (2.2 * 3600, "2 hours"), (2 * 86400, "2 days")],
)  # fmt: skip
def test_it_is_said_in_a_fitting_unit(seconds, words):
    assert in_words(seconds) == words


class Run:
    """A run whose steps take the given seconds, and what is told of it, by step."""

    def __init__(self, seconds):
        self.now = 1000.0
        self.told = {}
        watch = Stopwatch(len(seconds), self.hear, clock=lambda: self.now)
        for self.step, took in enumerate(seconds, 1):
            self.now += took
            watch.tick()

    def hear(self, seconds):
        self.told[self.step] = seconds


def test_long_steps_are_known_after_three():
    assert Run([500.0] + [100.0] * 9).told == {3: 1000.0}


def test_short_steps_are_known_after_a_minute():
    assert Run([5.0] + [0.5] * 999).told == {121: 500.0}


@pytest.mark.parametrize("seconds", [[100.0], [100.0] * 3, [0.5] * 100])
def test_nothing_is_told_of_a_run_that_is_over(seconds):
    assert Run(seconds).told == {}


def test_a_slow_beginning_does_not_make_a_run_long():
    told = Run([1.0] * 1 + [12.0] * 2 + [0.5] * 397).told
    assert [seconds < 400 for seconds in told.values()] == [True]
