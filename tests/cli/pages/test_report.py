"""``vitquant report``: the page, the JSON, and what is refused before any work."""

import os

import pytest

from vitquant.data.sources.digits import digits
from vitquant.models.sources.from_miniature import weights_path

# What none of these tests is about takes seconds.
BRIEF = ("--no-latency", "--corruption-images", 0)


@pytest.fixture
def refused(vitquant, checkpoint, digits_by_class):
    """refused(words, *arguments): they are refused with these words, and nothing is written."""

    def check(words, *arguments):
        before = sorted(os.listdir(checkpoint.parent))
        vitquant("report", *arguments).refused(*words)
        assert sorted(os.listdir(checkpoint.parent)) == before
        assert not os.listdir()

    return check


def test_a_page_and_its_numbers(vitquant, checkpoint, digits_by_class, tmp_path):
    done = vitquant(
        "report", checkpoint, "--data", digits_by_class, "--out", "page.html", "--json",
        "--corruption-images", 4,
    )  # fmt: skip
    found = done.json
    assert found["output"] == "page.html"
    assert found["model"]["name"] == "vit_digits"
    assert found["accuracy"]["images"] == found["accuracy"]["labeled"] == 20
    assert found["accuracy"]["quantized"]["top1"]["estimate"] >= 0.9
    assert found["accuracy"]["agreement"]["estimate"] >= 0.9
    assert [block["name"] for block in found["blocks"]["blocks"]] == [
        f"blocks.{i}" for i in range(4)
    ]
    assert found["collapse"] is None
    assert len(found["activations"]["rows"]) == 18 + 2 * 8
    assert len(found["activations"]["worst"]) == 6
    assert len(found["corruptions"]["rows"]) == 12
    assert {row["model"] for row in found["latencies"]["rows"]} == {"quantized", "float"}
    assert found["calibration"]["found"] == 20
    assert {row["name"] for row in found["calibration"]["counts"]} >= {"zero", "nine"}
    assert found["recipe"]["commands"][0].startswith("vitquant quantize vit_digits --bits w8a8")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "blocks.3" in page
    assert "data:image/jpeg" in page


def test_without_images_there_is_what_needs_none(vitquant, checkpoint, tmp_path):
    copy = tmp_path / "some.safetensors"
    copy.write_bytes(checkpoint.read_bytes())
    done = vitquant("report", copy, "--no-latency")
    assert done.out == f"{tmp_path / 'some.html'}\n"
    found = vitquant("report", copy, "--no-latency", "--out", "b.html", "--json").json
    assert found["accuracy"] is found["latencies"] is None
    assert found["missing"]["accuracy"] == found["missing"]["blocks"] == "--data SOURCE adds it"
    assert "--no-latency" in found["missing"]["latencies"]
    assert "--data SOURCE" in found["notes"][0]
    assert found["size"]["bytes"] == copy.stat().st_size


def test_a_folder_without_classes_gives_agreement(vitquant, checkpoint, tmp_path):
    (tmp_path / "flat").mkdir()
    for i, (image, _) in enumerate(digits("test")[:6]):
        image.save(tmp_path / "flat" / f"{i}.png")
    arguments = ("report", checkpoint, "--data", "flat", "--out", "page.html", "--json", *BRIEF)
    found = vitquant(*arguments).json
    assert found["accuracy"]["labeled"] == 0
    assert found["accuracy"]["difference"] is found["accuracy"]["quantized"]["top1"] is None
    assert found["accuracy"]["agreement"]["estimate"] == 1
    assert "no labels" in found["notes"][0]


def test_without_the_float_model(vitquant, checkpoint, digits_by_class):
    arguments = ("--data", digits_by_class, "--reference", "none", "--out", "page.html")
    found = vitquant("report", checkpoint, *arguments, "--json", *BRIEF).json
    assert found["accuracy"]["reference"] is found["accuracy"]["agreement"] is None
    assert found["accuracy"]["quantized"]["top1"]["estimate"] >= 0.9
    assert found["activations"]["rows"]
    for section in ("changed", "blocks", "collapse"):
        assert "float model" in found["missing"][section]


def test_fewer_images_than_there_are(vitquant, checkpoint, digits_by_class):
    arguments = ("--data", digits_by_class, "--images", 10, "--batch-size", 4)
    found = vitquant("report", checkpoint, *arguments, "--json", "--out", "a.html", *BRIEF).json
    assert found["accuracy"]["images"] == found["changed"]["images"] == 10
    again = vitquant("report", checkpoint, *arguments, "--json", "--out", "a.html", *BRIEF).json
    assert again == found


def test_the_losses_of_a_training_are_shown(vitquant, digits_by_class):
    arguments = ("--calib", digits_by_class, "--bits", "w4a4", "--out", "trained.safetensors")
    more = ("--method", "joint", "--steps", 3, "--batch-size", 4)
    assert vitquant("quantize", "vit_digits", *arguments, *more).code == 0
    found = vitquant("report", "trained.safetensors", "--no-latency", "--json").json
    training = found["training"]
    assert (training["method"], training["steps"]) == ("joint", 3)
    assert [curve["name"] for curve in training["curves"]] == ["features", "logits", "loss"]
    assert training["curves"][0]["steps"] == [1, 2, 3]
    # Who reads the settings passes over them.
    recipe = vitquant("inspect", "trained.safetensors", "--recipe").out
    assert "history" not in recipe
    assert "history" not in found["recipe"]["toml"]


def test_outputs_that_cannot_be(refused, checkpoint, digits_by_class, tmp_path_factory):
    elsewhere, data = tmp_path_factory.mktemp("elsewhere"), ("--data", digits_by_class)
    linked, folder = elsewhere / "own.html", elsewhere / "folder.html"
    os.link(checkpoint, linked)
    folder.mkdir()
    refused(["--out", "does not exist"], checkpoint, *data, "--out", "there/is/no.html")
    refused(["--out", ".html"], checkpoint, *data, "--out", "page.pdf")
    refused(["--out", "is FILE"], checkpoint, *data, "--out", linked)
    refused(["--out", "is a folder"], checkpoint, *data, "--out", folder)


def test_inputs_that_cannot_be(refused, checkpoint, digits_by_class, tmp_path):
    refused(["FILE", "nothing.safetensors"], "nothing.safetensors")
    refused(["FILE", "model.onnx", "checkpoint"], "model.onnx")
    refused(["FILE", "vit_digits is not a file"], "vit_digits")
    refused(["FILE", "not written by vitquant", "--weights"], weights_path("vit_digits"))
    refused(["--data", "does not exist"], checkpoint, "--data", "nowhere")
    refused(["--calib", "does not exist"], checkpoint, "--calib", "nowhere")
    data = ("--data", digits_by_class)
    refused(["--weights", "lost.safetensors"], checkpoint, *data, "--weights", "lost.safetensors")
    refused(["--weights", "--data"], checkpoint, "--weights", weights_path("vit_digits"))
    none = ("--reference", "none", "--weights", weights_path("vit_digits"))
    refused(["--weights", "--reference none"], checkpoint, *data, *none)
    refused(["--reference", "float, none"], checkpoint, *data, "--reference", "vit_small")
    refused(["--images", "--data"], checkpoint, "--images", 5)
    refused(["--images", "1 or more"], checkpoint, *data, "--images", 0)


def test_a_float_model_that_is_not_at_hand(vitquant, tmp_path, digits_by_class):
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(weights_path("vit_digits").read_bytes())
    made = ("--bits", "w8a8", "--method", "rtn", "--calib", digits_by_class, "--weights", weights)
    vitquant("quantize", "vit_digits", *made, "--out", "own.safetensors")
    ended = vitquant("report", "own.safetensors", "--data", digits_by_class)
    ended.refused("--weights", "--reference none makes the report without it")
    assert not (tmp_path / "own.html").exists()
    arguments = ("--data", digits_by_class, "--weights", weights, *BRIEF)
    assert vitquant("report", "own.safetensors", *arguments).code == 0
