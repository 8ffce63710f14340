"""How long is said, and when."""

import pytest

from vitquant.core.progress import DurationEstimate, format_duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 second"), (40, "40 seconds"), (130, "2 minutes"), (3000, "50 minutes"),
     (2.2 * 3600, "2 hours"), (2 * 86400, "2 days")],
)  # fmt: skip
def test_it_is_said_in_a_fitting_unit(seconds, words):
    assert format_duration(seconds) == words


class Run:
    """A run whose steps take the given seconds, and the estimates that it gives, by step."""

    def __init__(self, seconds):
        self.now = 1000.0
        self.estimates = {}
        estimate = DurationEstimate(len(seconds), self.record, clock=lambda: self.now)
        for self.step, took in enumerate(seconds, 1):
            self.now += took
            estimate.tick()

    def record(self, seconds):
        self.estimates[self.step] = seconds


def test_long_steps_are_known_after_three():
    assert Run([500.0] + [100.0] * 9).estimates == {3: 1000.0}


def test_short_steps_are_known_after_a_minute():
    assert Run([5.0] + [0.5] * 999).estimates == {121: 500.0}


@pytest.mark.parametrize("seconds", [[100.0], [100.0] * 3, [0.5] * 100])
def test_there_is_no_estimate_of_a_run_that_is_over(seconds):
    assert Run(seconds).estimates == {}


def test_a_slow_beginning_does_not_make_a_run_long():
    estimates = Run([1.0] * 1 + [12.0] * 2 + [0.5] * 397).estimates
    assert [seconds < 400 for seconds in estimates.values()] == [True]
