"""``vitquant synthesize``, and what quantize makes of it."""

import os

import pytest

from vitquant.synthesis.cache import VARIABLE
from vitquant.synthesis.image_folder import read_index


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv(VARIABLE, str(folder))
    return folder


@pytest.fixture
def prompts(vitquant, tmp_path):
    path = tmp_path / "p.safetensors"
    ended = vitquant(
        "learn-prompts", "vit_digits", "--prompts-per-class", 2, "--steps", 2, "--out", path
    )
    assert ended.code == 0, ended.err
    return path


def test_templates_are_made_into_a_folder_that_quantize_reads(vitquant, tmp_path):
    ended = vitquant("synthesize", "vit_digits", "--template", "--samples", "40")
    assert (ended.code, ended.out) == (0, "vit_digits-images\n")
    assert len(read_index(tmp_path / "vit_digits-images")) == 40
    assert (tmp_path / "vit_digits-images.png").is_file()
    ended = vitquant(
        "quantize", "vit_digits", "--bits", "w8a8", "--method", "rtn", "--calib",
        "vit_digits-images", "--json",
    )  # fmt: skip
    assert ended.json["samples"] == 32  # what the scale search takes of the 40


def test_json_has_the_figures(vitquant):
    found = vitquant(
        "synthesize", "vit_digits", "--template", "--plain", "--samples", 30, "--compare", "digits",
        "--json",
    ).json  # fmt: skip
    assert {"output", "classes", "images", "top1", "similarity", "coverage"} <= found.keys()
    assert (found["classes"], found["images"]) == (10, 30)
    assert found["top1"] > 0.7
    assert 0 < found["coverage"] <= 1


def test_learned_prompts_are_used(vitquant, prompts, tmp_path):
    ended = vitquant("synthesize", "vit_digits", "--prompts", prompts, "--samples", 20)
    assert ended.code == 0, ended.err
    assert {row["mode"] for row in read_index(tmp_path / "vit_digits-images")} == {0, 1}


def test_prompts_that_are_not_given_are_learned_once(vitquant, cache):
    arguments = ("synthesize", "vit_digits", "--prompts-per-class", 1, "--samples", 10)
    assert vitquant(*arguments, "--out", "a").code == 0
    (file,) = (cache / "prompts").glob("*.safetensors")
    before = file.stat().st_mtime_ns
    ended = vitquant(*arguments, "--out", "b")
    assert f"prompts from {file}" in ended.err
    assert file.stat().st_mtime_ns == before


def test_synthetic_calibration_is_the_default_and_is_kept(vitquant, cache):
    arguments = ("quantize", "vit_digits", "--bits", "w4a4", "--method", "rtn", "--samples", 20)
    found = vitquant(*arguments, "--json").json
    assert (found["calib"], found["samples"]) == ("synthetic", 20)
    assert len(list((cache / "images").iterdir())) == 2  # a folder, and its contact sheet
    again = vitquant(*arguments, "--out", "again")
    assert again.code == 0
    assert "images from" in again.err


def test_two_processes_end_with_the_same_folder(processes, tmp_path):
    """Also where an image is generated again until the model is sure of it."""
    arguments = ["synthesize", "vit_digits", "--template", "--plain", "--samples", 20]
    arguments += ["--min-confidence", 0.9, "--max-attempts", 2, "--out"]
    found = {}
    for name, count in (("one", 1), ("two", 2)):
        ended = processes(count, *arguments, name)
        assert (ended.code, ended.out) == (0, f"{name}\n"), ended.err
        files = [file for file in (tmp_path / name).rglob("*") if file.is_file()]
        found[name] = {str(f.relative_to(tmp_path / name)): f.read_bytes() for f in files}
    assert 10 <= len([file for file in found["one"] if file.endswith(".png")]) <= 20
    assert found["one"] == found["two"]


def test_quantize_takes_templates_and_files_of_prompts(vitquant, prompts):
    arguments = ("quantize", "vit_digits", "--bits", "w4a4", "--method", "rtn", "--samples", 20)
    found = vitquant(*arguments, "--calib", "template", "--json").json
    assert found["calib"] == "template"
    found = vitquant(*arguments, "--prompts", prompts, "--json").json
    assert found["calib"] == "synthetic"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--template", "--text", "a {}"), ("--text", "--template")),
        (("--plain",), ("--plain", "--template")),
        (("--text", "a photo"), ("--template", "{}")),
        (("--prompts", "none"), ("--prompts", "none is not a file")),
        (("--prompts", "hf://owner"), ("--prompts", "names no repository")),
        (("--prompts", "hf://nobody/nothing"), ("--prompts", "could not be read from the Hub")),
        (("--min-confidence", "1"), ("--min-confidence", "1.0")),
        (("--samples", "0"), ("--samples", "0 is too few")),
        (("--compare", "nowhere"), ("--compare", "'nowhere' does not exist")),
        (("--out", "no/where"), ("--out", "the folder no does not exist")),
    ],
)
def test_bad_input(arguments, words, vitquant, tmp_path):
    vitquant("synthesize", "vit_digits", *arguments).refused(*words)
    assert os.listdir(tmp_path) == []


def test_options_of_a_generator_go_with_nothing_else(vitquant):
    arguments = ("quantize", "vit_digits", "--bits", "w4a4", "--calib", "digits")
    vitquant(*arguments, "--generator", "sd-digits").refused("--generator", "--calib digits")
    vitquant(*arguments, "--prompts", "p").refused("--prompts", "--calib digits")
