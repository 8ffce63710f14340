"""A folder with a model of transformers, through the commands."""

import pytest

BRIEF = ("--method", "rtn", "--samples", "2", "--init-images", "2")


@pytest.mark.slow
def test_the_whole_chain(vitquant, folders, tmp_path):
    folder = folders("ViT")
    made = vitquant("quantize", folder, "--bits", "w8a8", "--calib", "noise", *BRIEF, "--json")
    assert made.code == 0, made.err
    assert made.json["output"] == "ViT-w8a8.safetensors"
    assert made.json["float_model"]["source"] == "transformers"
    assert made.json["versions"]["transformers"]
    shown = vitquant("inspect", "ViT-w8a8.safetensors", "--json").json
    assert shown["layers"][1]["name"] == "vit.layers.0.attention.q_proj.qkv"
    scored = vitquant(
        "eval", "ViT-w8a8.safetensors", "--data", "digits", "--reference", "float", "--json",
        "--ignore-unknown",
    )  # fmt: skip
    assert scored.code == 0, scored.err
    assert scored.json["reference"]["model"] == str(folder)
    exported = vitquant("export", "ViT-w8a8.safetensors", "--json")
    assert exported.code == 0, exported.err
    assert exported.json["integer_kernels"] == exported.json["expected_integer_kernels"] == 14


def test_images_by_inversion(vitquant, folders):
    brief = ("--samples", "4", "--iterations", "2", "--device", "cpu")
    ended = vitquant("synthesize", folders("ViT"), "--inversion", *brief, "--json")
    assert (ended.json["images"], ended.json["classes"]) == (4, 10)


@pytest.mark.slow
def test_prompts_are_learned_for_its_classes(vitquant, folders, tmp_path):
    (tmp_path / "classes.txt").write_text("kind 1\n")
    ended = vitquant(
        "learn-prompts", folders("ViT"), "--generator", "sd-digits", "--classes", "classes.txt",
        "--prompts-per-class", "1", "--steps", "1", "--json",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert ended.json["prompts"] == 1


def test_what_is_no_model(vitquant, folders, tmp_path):
    run = ("quantize", "--bits", "w8a8", "--calib", "noise")
    vitquant(*run, tmp_path).refused("MODEL", "a folder without a config.json")
    vitquant(*run, f"{folders('ViT')}#text").refused("MODEL", "has no tower 'text'")
    vitquant(*run, folders("ViT"), "--num-classes", "3").refused("--num-classes", "leave it out")
