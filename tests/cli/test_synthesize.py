"""``vitquant synthesize``, and what quantize makes of it."""

import os

import pytest

from vitquant.config.groups.prompts import PromptSettings
from vitquant.synthesis.image_folder import read_index
from vitquant.synthesis.job import VARIABLE


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv(VARIABLE, str(folder))
    return folder


@pytest.fixture
def brief(monkeypatch):
    """Prompts are learned for two steps where nobody says otherwise."""
    monkeypatch.setattr(PromptSettings.fields()["steps"], "default", 2)


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
        "synthesize", "vit_digits", "--template", "--no-adjectives", "--samples", 30,
        "--real-images", "digits",
        "--json",
    ).json  # fmt: skip
    assert {"output", "classes", "images", "top1", "similarity", "coverage"} <= found.keys()
    assert (found["classes"], found["images"]) == (10, 30)
    assert found["top1"] > 0.7
    assert 0 < found["coverage"] <= 1


@pytest.mark.slow
def test_synthesize_and_quantize_take_a_file_of_prompts(vitquant, prompts, tmp_path):
    ended = vitquant("synthesize", "vit_digits", "--prompts", prompts, "--samples", 20)
    assert ended.code == 0, ended.err
    assert {row["mode"] for row in read_index(tmp_path / "vit_digits-images")} == {0, 1}
    arguments = ("quantize", "vit_digits", "--bits", "w4a4", "--method", "rtn", "--samples", 20)
    assert vitquant(*arguments, "--prompts", prompts, "--json").json["calib"] == "synthetic"
    assert vitquant(*arguments, "--calib", "template", "--json").json["calib"] == "template"


def test_prompts_that_are_not_given_are_learned_once(vitquant, cache, brief):
    arguments = ("synthesize", "vit_digits", "--prompts-per-class", 1, "--samples", 10)
    assert vitquant(*arguments, "--out", "a").code == 0
    (file,) = (cache / "prompts").glob("*.safetensors")
    before = file.stat().st_mtime_ns
    ended = vitquant(*arguments, "--out", "b")
    assert f"prompts from {file}" in ended.err
    assert file.stat().st_mtime_ns == before


@pytest.mark.slow
def test_synthetic_calibration_is_the_default_and_is_kept(vitquant, cache, brief):
    arguments = ("quantize", "vit_digits", "--bits", "w4a4", "--method", "rtn", "--samples", 20)
    found = vitquant(*arguments, "--json").json
    assert (found["calib"], found["samples"]) == ("synthetic", 20)
    assert len(list((cache / "images").iterdir())) == 2  # a folder, and its contact sheet
    again = vitquant(*arguments, "--out", "again")
    assert again.code == 0
    assert "images from" in again.err


@pytest.mark.slow
def test_two_processes_end_with_the_same_folder(vitquant, processes, tmp_path):
    """Also where an image is generated again until the model is sure of it."""
    arguments = ["synthesize", "vit_digits", "--template", "--no-adjectives", "--samples", 20]
    arguments += ["--min-confidence", 0.9, "--max-attempts", 2, "--out"]
    assert vitquant(*arguments, "one").code == 0
    ended = processes(2, *arguments, "two")
    assert (ended.code, ended.out) == (0, "two\n"), ended.err
    found = {}
    for name in ("one", "two"):
        files = [file for file in (tmp_path / name).rglob("*") if file.is_file()]
        found[name] = {str(f.relative_to(tmp_path / name)): f.read_bytes() for f in files}
    assert 10 <= len([file for file in found["one"] if file.endswith(".png")]) <= 20
    assert found["one"] == found["two"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--inversion", "--text", "a {}"), ("--text", "--inversion")),
        (("--no-adjectives",), ("--adjectives", "--template")),
        (("--text", "a photo"), ("--text: ", "{}")),
        (("--prompts", "none"), ("--prompts", "none is not a file")),
        (("--prompts", "hf://owner"), ("--prompts", "names no repository")),
        (("--min-confidence", "1"), ("--min-confidence", "1.0")),
        (("--samples", "0"), ("--samples", "0 is not 1 or more")),
        (("--real-images", "nowhere"), ("--real-images", "'nowhere' does not exist")),
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
