"""``synthesize --inversion`` and ``--calib inversion``."""

import os
import subprocess
import sys
import time

import pytest

from vitquant.config.synthesize import InversionSettings
from vitquant.synthesis.image_folder import read_index
from vitquant.synthesis.job import VARIABLE
from vitquant.synthesis.registry import SynthesizerKind

BRIEF = ("--inversion", "--samples", "4", "--iterations", "2", "--device", "cpu")


def test_images_that_quantize_reads(vitquant, tmp_path):
    ended = vitquant("synthesize", "vit_digits", *BRIEF, "--json")
    assert ended.code == 0, ended.err
    assert ended.json["generator"] is None
    assert (ended.json["images"], ended.json["classes"]) == (4, 10)
    assert len(read_index(tmp_path / "vit_digits-images")) == 4
    ended = vitquant(
        "quantize", "vit_digits", "--bits", "w3a8", "--method", "dfq", "--reparameterize",
        "--calib", "vit_digits-images", "--json",
    )  # fmt: skip
    assert (ended.json["samples"], ended.json["steps"]) == (4, 0)
    assert ended.json["settings"]["reparameterize"]
    assert not ended.json["settings"]["correct_bias"]
    assert "17 layers corrected, 1 convolutions not" in ended.err


def test_plain_images_are_others(vitquant, tmp_path):
    vitquant("synthesize", "vit_digits", *BRIEF, "--out", "a")
    ended = vitquant("synthesize", "vit_digits", *BRIEF, "--no-crops", "--out", "b")
    assert "the whole image" in ended.err
    first, second = (read_index(tmp_path / name) for name in ("a", "b"))
    assert [r["class"] for r in first] == [r["class"] for r in second]
    assert [r["sha256"] for r in first] != [r["sha256"] for r in second]


def test_calibration_makes_them_once(vitquant, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    brief = InversionSettings.build(samples=2, iterations=2)
    monkeypatch.setattr(SynthesizerKind, "calibration_settings", lambda *_: brief)
    arguments = ("quantize", "swin_digits", "--bits", "w4a4", "--method", "dfq", "--samples", 2)
    found = vitquant(*arguments, "--calib", "inversion", "--json").json
    assert found["calib"] == "inversion"
    assert not found["settings"]["correct_bias"]
    assert "images from" in vitquant(*arguments, "--calib", "inversion").err


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on(vitquant, tmp_path):
    arguments = ["synthesize", "vit_digits", "--inversion", "--samples", "3", "--batch-size", "1"]
    arguments += ["--iterations", "20", "--device", "cpu", "--out"]
    command = [sys.executable, "-m", "vitquant", *arguments, "x"]
    killed = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
    piece = tmp_path / ".x.parts" / "rows" / "00000.json"
    while not piece.exists():
        assert killed.poll() is None
        time.sleep(0.01)
    killed.kill()
    killed.wait(60)
    assert not (tmp_path / "x").exists()
    for name in ("x", "whole"):
        assert vitquant(*arguments, name).code == 0
    assert read_index(tmp_path / "x") == read_index(tmp_path / "whole")
    assert sorted(os.listdir(tmp_path)) == ["whole", "whole.png", "x", "x.png"]


def test_an_interrupted_run_says_that_it_can_go_on(vitquant, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("vitquant.synthesis.inversion.job.invert", stop)
    ended = vitquant("synthesize", "vit_digits", *BRIEF)
    assert (ended.code, ended.out) == (130, "")
    assert "the same command goes on where this stopped" in ended.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--inversion", "--template"), ("--inversion", "--template")),
        (("--inversion", "--prompts", "p"), ("--inversion", "--prompts")),
        (("--inversion", "--generator", "sd-digits"), ("--generator", "--inversion")),
        (("--inversion", "--min-confidence", "0.5"), ("--min-confidence", "--inversion")),
        (("--inversion", "--max-attempts", "4"), ("--max-attempts", "--min-confidence")),
        (("--inversion", "--prompts-per-class", "2"), ("--prompts-per-class", "--inversion")),
        (("--template", "--no-adjectives", "--prompts-per-class", "2"), ("--prompts-per-class",)),
        (("--text", "a {}", "--prompts-per-class", "2"), ("--prompts-per-class",)),
        (("--inversion", "--samples", "0"), ("--samples", "0 is not 1 or more")),
        (("--inversion", "--iterations", "0"), ("--iterations", "0 is not 1 or more")),
        (("--inversion", "--min-crop", "0"), ("--min-crop", "0.0")),
        (("--inversion", "--lr", "-1"), ("--lr", "-1.0")),
        (("--inversion", "--precision", "half"), ("--precision", "half")),
        (("--iterations", "200"), ("--iterations", "--inversion")),
        (("--no-crops",), ("--crops", "--inversion")),
    ],
)
def test_bad_input(arguments, words, vitquant, tmp_path):
    vitquant("synthesize", "vit_digits", *arguments).refused(*words)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["iterations", "lr", "ce_weight", "tv_target", "patches"])
def test_options_of_inversion_go_with_nothing_else(name, vitquant, tmp_path):
    assert name in InversionSettings.fields()
    flag = f"--{name.replace('_', '-')}"
    vitquant("synthesize", "vit_digits", flag, "1").refused(f"{flag}: it goes with --inversion")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--damping", "0"), ("--damping", "0.0")),
        (("--start", "somewhere"), ("--start", "search, dfq")),
        (("--calib", "inversion", "--prompts", "p"), ("--prompts", "--calib inversion")),
    ],
)
def test_bad_options_of_quantize(arguments, words, vitquant):
    vitquant("quantize", "vit_digits", "--bits", "w4a4", *arguments).refused(*words)
