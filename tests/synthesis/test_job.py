"""The driver of long runs, on one that writes letters: resumed, checked, stopped."""

import json

import pytest

from vitquant.core.errors import UserError
from vitquant.core.progress import Silent
from vitquant.synthesis import job
from vitquant.synthesis.job import Synthesizer, run

STEPS = 3


class Letters:
    """Five groups of two letters, three steps each."""

    kind, suffix, task, steps = "letters", ".txt", "writing", STEPS
    image_cost = 0

    def __init__(self, letters="abcdefghij"):
        self.letters, self.made = letters, []

    def header(self):
        return {"letters": self.letters}

    def groups(self):
        return [self.letters[i : i + 2] for i in range(0, len(self.letters), 2)]

    def make_all(self, groups, steps):
        for number, group in groups.items():
            self.made.append(group)
            steps.advance("first")
            yield number, group

    def save_part(self, partial, number, part):
        partial.part(f"{number}.json").write_text(json.dumps(part))

    def has_part(self, partial, number):
        try:
            return bool(json.loads(partial.part(f"{number}.json").read_text()))
        except (OSError, ValueError):
            return False

    def merge(self, partial, path, progress):
        parts = [json.loads(partial.part(f"{i}.json").read_text()) for i in range(5)]
        path.write_text("".join(parts))
        partial.remove()

    def is_finished(self, path):
        if path.exists() and path.read_text() != self.letters:
            raise UserError(f"--out: {path} is something else")
        return path.exists()

    def load_finished(self, path, flag="--out"):
        if len(path.read_text()) != 10:
            raise UserError(f"{flag}: {path} is damaged")
        return path.read_text()


class Listener(Silent):
    """Records what is said and how far the bar is; raises KeyboardInterrupt after some steps."""

    def __init__(self, stop=None):
        self.stop, self.said, self.shown, self.total = stop, [], 0, 0

    def say(self, message):
        self.said.append(message)

    warn = status = say

    def track(self, items, total, what):
        self.total = total
        for i, item in enumerate(items):
            if i == self.stop:
                raise KeyboardInterrupt
            self.shown = i
            yield item
        self.shown = total


def test_all_groups_make_the_result_and_nothing_else_is_left(tmp_path):
    letters: Synthesizer = Letters()
    listener = Listener()
    assert run(letters, tmp_path / "x", listener) == letters.letters
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert listener.shown == listener.total == 5 * STEPS
    assert "first" in listener.said


@pytest.mark.parametrize("stop", [0, 1, STEPS - 1, STEPS, 2 * STEPS + 1, 5 * STEPS - 1])
def test_an_interrupted_run_goes_on_with_what_is_missing(stop, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(Letters(), tmp_path / "x", Listener(stop))
    assert not (tmp_path / "x").exists()
    # What was made is stored before its last steps are counted.
    kept = len(list((tmp_path / ".x.parts").glob("[0-9].json")))
    assert kept == (stop + STEPS - 2) // STEPS
    letters, listener = Letters(), Listener()
    assert run(letters, tmp_path / "x", listener) == letters.letters
    assert len(letters.made) == 5 - kept
    assert (f"{kept} of 5 parts are finished already" in listener.said) == bool(kept)


def test_a_damaged_part_is_made_again(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(Letters(), tmp_path / "x", Listener(3 * STEPS))
    (tmp_path / ".x.parts" / "1.json").write_text('"c')
    letters = Letters()
    run(letters, tmp_path / "x", Silent())
    assert letters.made == ["cd", "gh", "ij"]


def test_parts_of_another_run_are_not_used(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(Letters("klmnopqrst"), tmp_path / "x", Listener(3 * STEPS))
    listener = Listener()
    assert run(Letters(), tmp_path / "x", listener) == "abcdefghij"
    assert "is of a run with other settings; starting anew" in listener.said[0]


def test_a_finished_result_is_returned_and_another_is_refused(tmp_path):
    run(Letters(), tmp_path / "x", Silent())
    letters, listener = Letters(), Listener()
    assert run(letters, tmp_path / "x", listener) == letters.letters
    assert letters.made == []
    assert "is there already" in listener.said[0]
    with pytest.raises(UserError, match="is something else"):
        run(Letters("klmnopqrst"), tmp_path / "x", Silent())


def test_it_can_be_stopped_once_it_is_known_how_long_it_takes(tmp_path, monkeypatch):
    monkeypatch.setattr("vitquant.core.progress._SECONDS", 0)

    def refuse(seconds):
        assert seconds > 0
        raise UserError("too long")

    with pytest.raises(UserError, match="too long"):
        run(Letters(), tmp_path / "x", Silent(), refuse)
    assert not (tmp_path / "x").exists()


def test_the_cache_keeps_a_result_by_its_header(tmp_path, monkeypatch):
    monkeypatch.setenv(job.VARIABLE, str(tmp_path / "cache"))

    def cached(letters, listener):
        return job.run_cached(letters, listener, lambda seconds: None)

    cached(Letters(), Silent())
    letters, listener = Letters(), Listener()
    assert cached(letters, listener) == letters.letters
    assert letters.made == []
    (path,) = (tmp_path / "cache" / "letters").iterdir()
    assert listener.said == [f"letters from {path}"]
    cached(Letters("klmnopqrst"), Silent())
    assert len(list(path.parent.iterdir())) == 2


def test_a_damaged_result_in_the_cache_is_reported_and_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv(job.VARIABLE, str(tmp_path))
    job.run_cached(Letters(), Silent(), lambda seconds: None)
    (path,) = (tmp_path / "letters").iterdir()
    path.write_text("abc")
    listener = Listener()
    assert job.run_cached(Letters(), listener, lambda seconds: None) == "abcdefghij"
    assert listener.said[0] == f"{job.VARIABLE}: {path} is damaged; it is made again"
