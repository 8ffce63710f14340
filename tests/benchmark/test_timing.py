"""Runs in turn."""

from vitquant.benchmark.timing import WARM_UP, interleave
from vitquant.core.progress import Silent


def test_each_runs_untimed_and_then_timed_and_another_one_is_first_each_round():
    events = []
    ticks = iter(range(1000))

    def clock():
        events.append("tick")
        return next(ticks)

    runners = [lambda name=name: events.append(name) for name in "abc"]
    seconds = interleave(runners, 2, Silent(), "", clock)
    assert seconds == [[1, 1], [1, 1], [1, 1]]
    firsts = events[::4]
    assert firsts == list("abcbcacababcbca")
    assert len(events) == 4 * 3 * (WARM_UP + 2)
    for start, name in zip(range(0, len(events), 4), firsts, strict=True):
        assert events[start : start + 4] == [name, "tick", name, "tick"]


def test_rounds_before_the_first_timed_one_do_not_count():
    ticks = iter([x for i in range(WARM_UP) for x in (0, 100)] + [0, 3, 10, 14])
    assert interleave([lambda: None], 2, Silent(), "", lambda: next(ticks)) == [[3, 4]]
