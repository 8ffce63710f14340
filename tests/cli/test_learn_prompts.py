"""``vitquant learn-prompts`` as a user meets it."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from vitquant.synthesis.diffusion.prompt_file import read_prompts

SHORT = ("--prompts-per-class", "2", "--steps", "2")


@pytest.fixture
def three(tmp_path):
    path = tmp_path / "three.txt"
    path.write_text("one\ntwo\nseven\n")
    return path


def start(folder, out, *arguments):
    command = [sys.executable, "-m", "vitquant", "learn-prompts", "vit_digits", *arguments]
    return subprocess.Popen(
        [*command, "--out", out],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_writes_prompts_of_the_chosen_classes(vitquant, three, tmp_path):
    ended = vitquant("learn-prompts", "vit_digits", *SHORT, "--classes", three)
    assert (ended.code, ended.out) == (0, "vit_digits-prompts.safetensors\n")
    assert "2 prompts for each of 3 classes of vit_digits" in ended.err
    assert "top-1" in ended.err
    assert list(read_prompts(tmp_path / "vit_digits-prompts.safetensors").prompts) == [1, 2, 7]


@pytest.mark.slow
def test_learning_helps_at_the_defaults(vitquant, three):
    """The model is surer of what it sees; and the JSON object says so."""
    found = vitquant("learn-prompts", "vit_digits", "--classes", three, "--json").json
    assert {"output", "classes", "prompts", "top1", "similarity"} <= found.keys()
    assert (found["classes"], found["prompts"]) == (3, 60)
    assert found["template"].keys() == {"top1", "confidence", "similarity"}
    assert found["generator"]["name"] == "sd-digits"
    assert found["confidence"] > found["template"]["confidence"] + 0.02
    assert found["top1"] >= found["template"]["top1"]


@pytest.mark.slow
def test_a_run_that_is_killed_ends_with_the_same_file(vitquant, three, tmp_path):
    arguments = (*SHORT, "--classes", str(three), "--batch-size", "2")
    killed = start(tmp_path, "p", *arguments)
    part = tmp_path / ".p.parts" / "00000.safetensors"
    while not part.exists():
        assert killed.poll() is None
        time.sleep(0.01)
    time.sleep(random.Random().uniform(0, 0.2))
    killed.kill()
    killed.wait(60)
    for name in ("p", "whole"):
        ended = vitquant("learn-prompts", "vit_digits", *arguments, "--out", name)
        assert (ended.code, ended.out) == (0, f"{name}\n"), ended.err
    assert (tmp_path / "p").read_bytes() == (tmp_path / "whole").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["p", "three.txt", "whole"]


@pytest.mark.slow
def test_ctrl_c_says_that_what_is_done_stays(three, tmp_path):
    process = start(tmp_path, "p", "--classes", str(three), "--steps", "100000")
    while not (tmp_path / ".p.parts").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == (
        "vitquant: interrupted; the same command goes on where this stopped"
    )


@pytest.mark.slow
def test_two_processes_end_with_the_same_file(vitquant, three, processes, tmp_path):
    arguments = ["learn-prompts", "vit_digits", *SHORT, "--classes", three, "--batch-size", 2]
    assert vitquant(*arguments, "--out", "one").code == 0
    ended = processes(2, *arguments, "--out", "two")
    assert (ended.code, ended.out) == (0, "two\n"), ended.err
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--generator", "nowhere"), ("--generator", "'nowhere'", "sd-digits")),
        (("--generator", "nobody/nothing"), ("--generator", "nobody/nothing could not be loaded")),
        (("--classes", "none.txt"), ("--classes", "none.txt cannot be read")),
        (("--prompts-per-class", "0"), ("--prompts-per-class", "0 is not 1 or more")),
        (("--lr", "-1"), ("--lr", "-1.0 is not 0 or a positive number")),
        (("--precision", "int3"), ("--precision", "'int3'", "bfloat16")),
        (("--out", "no/where.safetensors"), ("--out", "the folder no does not exist")),
    ],
)
def test_bad_input(arguments, words, vitquant, tmp_path):
    vitquant("learn-prompts", "vit_digits", *arguments).refused(*words)
    assert os.listdir(tmp_path) == []
