"""``--resume``: a run that is killed, whenever that is, ends with the same file."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

SHORT = ("--bits", "w4a4", "--samples", "12", "--init-images", "4", "--batch-size", "4")


def start(folder, out, calib, *arguments):
    command = [sys.executable, "-m", "vitquant", "quantize", "vit_digits", *SHORT]
    command += ["--no-compile", "--calib", str(calib), "--out", out, *arguments]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again(digits_by_class, tmp_path):
    steps = ("--steps", "60")
    plain = start(tmp_path, "plain", digits_by_class, *steps)
    began = time.monotonic()
    assert plain.wait(300) == 0
    seconds = time.monotonic() - began
    state = tmp_path / ".killed.state"
    draw = random.Random()
    killed = 0
    while True:
        process = start(
            tmp_path, "killed", digits_by_class, *steps, "--resume", "--save-every", "1"
        )
        # Once at any moment of all, then twice while there is a state to come from.
        if killed == 0:
            time.sleep(draw.uniform(0, seconds))
        elif killed < 3:
            before = state.stat().st_mtime_ns if state.exists() else 0
            while process.poll() is None and not (
                state.exists() and state.stat().st_mtime_ns > before
            ):
                time.sleep(0.01)
            time.sleep(draw.uniform(0, 0.1 * seconds))
        else:
            break
        process.kill()
        process.wait(60)
        killed += 1
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (0, "killed\n"), err
    assert (tmp_path / "killed").read_bytes() == (tmp_path / "plain").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["killed", "plain"]


@pytest.mark.slow
def test_ctrl_c_keeps_the_state(digits_by_class, tmp_path):
    arguments = ("--steps", "100000", "--resume", "--save-every", "1")
    process = start(tmp_path, "a.safetensors", digits_by_class, *arguments)
    state = tmp_path / ".a.safetensors.state"
    while not state.exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == (
        "vitquant: interrupted; a.safetensors was not written; the same command goes on from "
        ".a.safetensors.state"
    )
    assert os.listdir(tmp_path) == [".a.safetensors.state"]


@pytest.fixture
def quantize(vitquant, digits_by_class):
    def run(*arguments):
        return vitquant("quantize", "vit_digits", *SHORT, "--calib", digits_by_class, *arguments)

    return run


@pytest.mark.parametrize("method", ["rtn", "repq", "block"])
def test_methods_that_keep_no_state(method, vitquant):
    arguments = ("quantize", "vit_digits", "--bits", "w4a4", "--calib", "digits")
    ended = vitquant(*arguments, "--method", method, "--resume")
    ended.refused(f"--resume: method {method}", "joint")


def test_options_that_cannot_be(quantize):
    quantize("--save-every", 3).refused("--save-every", "--resume")
    quantize("--resume", "--save-every", 0).refused("--save-every: 0", "1 or more")


def test_a_state_of_another_run(quantize, tmp_path):
    (tmp_path / ".vit_digits-w4a4.safetensors.state").write_bytes(b"something else")
    quantize("--resume").refused("--resume: .vit_digits-w4a4.safetensors.state", "remove it")


def test_what_a_killed_process_left_is_cleared_away(quantize, tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    for left in (f".a.{process.pid}.part", f"..a.state.{process.pid}.part", ".b.1.part"):
        (tmp_path / left).write_bytes(b"half")
    assert quantize("--resume", "--steps", 1, "--out", "a").code == 0
    assert sorted(os.listdir(tmp_path)) == [".b.1.part", "a"]
