"""``vitquant eval``: figures, the reference beside them, and what is refused."""

import io
import json
import re
import shutil

import pytest
from PIL import Image

KEYS = {"model", "data", "images", "top1", "top5", "images_per_second"}


def test_stdout_is_the_figures_alone(vitquant, digits_by_class):
    ended = vitquant("eval", "vit_digits", "--data", digits_by_class)
    assert ended.code == 0
    assert re.fullmatch(r"top1 \d\.\d{4} top5 \d\.\d{4}\n", ended.out)
    assert "20 images" in ended.err


def test_json_has_the_keys_of_the_contract(vitquant, checkpoint, digits_by_class):
    found = vitquant("eval", checkpoint, "--data", digits_by_class, "--json").json
    assert set(found) >= KEYS
    assert found["model"] == str(checkpoint)
    assert found["images"] == 20
    assert 0.9 <= found["top1"] <= found["top5"] <= 1
    assert "reference" not in found


@pytest.mark.parametrize("reference", ["float", "vit_digits"])
def test_the_float_model_beside_it(reference, vitquant, checkpoint, digits_by_class):
    asked = ("--data", digits_by_class, "--reference", reference, "--json")
    found = vitquant("eval", checkpoint, *asked).json
    assert {"model", "top1", "top5"} <= set(found["reference"])
    assert found["reference"]["model"] == "vit_digits"
    assert found["agreement"] >= 0.9
    assert found["drop"] == pytest.approx(found["reference"]["top1"] - found["top1"])


@pytest.mark.parametrize("name", ["vit_digits", "swin_digits"])
def test_the_bundled_digits(name, vitquant):
    found = vitquant("eval", name, "--data", "digits", "--json").json
    assert found["images"] == 500
    assert found["top1"] >= 0.97


def test_a_check_that_fails(vitquant, checkpoint, digits_by_class, spoiled):
    asked = ("eval", checkpoint, "--data", digits_by_class, "--min-top1")
    assert vitquant(*asked, 0.5).code == 0
    wrong = spoiled("one.png", (digits_by_class / "one/0.png").read_bytes())
    ended = vitquant("eval", checkpoint, "--data", wrong, "--min-top1", 1.0, "--json")
    assert ended.code == 1
    assert ended.json["top1"] < 1
    assert ended.err.splitlines()[-1].startswith("vitquant: --min-top1: top-1 is 0.9")


@pytest.mark.parametrize("value", [-0.1, 1.1, 70, "nan"])
def test_a_check_that_cannot_be(value, vitquant, digits_by_class):
    vitquant("eval", "vit_digits", "--data", digits_by_class, "--min-top1", value).refused(
        "--min-top1", "from 0 to 1"
    )


def test_a_folder_that_no_class_matches(vitquant, digits_by_class, tmp_path):
    folder = tmp_path / "more"
    shutil.copytree(digits_by_class, folder)
    shutil.copytree(folder / "one", folder / "onne")
    asked = ("eval", "vit_digits", "--data", folder, "--json")
    vitquant(*asked).refused("--data", "'onne'", "one")
    ended = vitquant(*asked, "--ignore-unknown")
    assert ended.json["images"] == 20
    assert "left out" in ended.err


def test_some_of_the_classes_are_enough(vitquant, digits_by_class, tmp_path):
    for name, renamed in (("seven", "SEVEN"), ("four", "4")):
        shutil.copytree(digits_by_class / name, tmp_path / "few" / renamed)
    found = vitquant("eval", "vit_digits", "--data", tmp_path / "few", "--json").json
    assert found["top1"] >= 0.75


def test_pictures_in_no_folders(vitquant, digits_by_class, tmp_path):
    vitquant("eval", "vit_digits", "--data", digits_by_class / "one").refused("--data", "folder")
    (tmp_path / "empty").mkdir()
    vitquant("eval", "vit_digits", "--data", tmp_path / "empty").refused("--data", "no images")


def test_a_corrupt_jpeg(vitquant, spoiled):
    file = io.BytesIO()
    Image.effect_noise((64, 64), 50).convert("RGB").save(file, "jpeg")
    data = spoiled("broken.jpg", file.getvalue()[:600])
    vitquant("eval", "vit_digits", "--data", data).refused("--data", "broken.jpg", "remove it")


def test_a_text_among_the_pictures(vitquant, spoiled):
    data = spoiled("notes.jpg", b"remember the milk\n" * 50)
    vitquant("eval", "vit_digits", "--data", data).refused("--data", "notes.jpg", "not an image")


def test_checkpoints_that_cannot_be_used(vitquant, checkpoint, digits_by_class, tmp_path):
    path = tmp_path / "short.safetensors"
    path.write_bytes(checkpoint.read_bytes()[:-100])
    vitquant("eval", path, "--data", digits_by_class).refused(str(path), "cut short")
    vitquant("eval", "none.safetensors", "--data", digits_by_class).refused("none.safetensors")


def test_weights_do_not_belong_to_a_checkpoint(vitquant, checkpoint, digits_by_class):
    asked = ("eval", checkpoint, "--data", digits_by_class)
    vitquant(*asked, "--weights", checkpoint).refused("--weights", "holds its own")


def test_a_reference_that_does_not_fit(vitquant, checkpoint, digits_by_class):
    asked = ("eval", checkpoint, "--data", digits_by_class, "--reference")
    vitquant(*asked, "vit_digit").refused("vit_digits?")


def test_options_that_cannot_be(vitquant, digits_by_class):
    vitquant("eval", "vit_digits").refused("--data")
    vitquant("eval", "vit_digits", "--data", digits_by_class, "--batch-size", 0).refused(
        "--batch-size: 0", "1 or more"
    )
    vitquant("eval", "--data", digits_by_class).refused("MODEL")


def test_the_model_from_stdin(vitquant, checkpoint, digits_by_class, monkeypatch):
    asked = ("eval", "-", "--data", digits_by_class, "--json")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{checkpoint}\n"))
    assert vitquant(*asked).json["model"] == str(checkpoint)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    vitquant(*asked).refused("MODEL", "stdin is empty")


def test_json_is_one_line(vitquant, digits_by_class):
    ended = vitquant("eval", "vit_digits", "--data", digits_by_class, "--json")
    assert json.loads(ended.out)
    assert ended.out.endswith("}\n")
