"""What happens to a function in a process of its own stays there."""

import os
import time

from generators import isolation
from generators.isolation import run_apart


def test_a_function_runs_to_its_end(tmp_path):
    assert run_apart(os.mkdir, tmp_path / "made", seconds=60) == ""
    assert (tmp_path / "made").is_dir()


def test_it_may_crash_fail_or_hang(monkeypatch):
    assert run_apart(os.abort, seconds=60) == "crashed with signal 6"
    assert run_apart(os._exit, 3, seconds=60) == "ended with code 3"
    monkeypatch.setattr(isolation, "_WAIT", 1)
    assert run_apart(time.sleep, 60, seconds=1) == "stopped after 1 seconds"


def test_it_may_compute_for_a_limited_time():
    # A function of this file would need its folder on the path of the new process.
    assert run_apart(exec, "while True: pass", seconds=1) == "stopped after 1 seconds of computing"
