"""``vitquant eval`` of models without classes, and with one."""

import shutil

import pytest
import timm
import torch

import vitquant as api
from vitquant.models.model import Model

SMALL = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 1, "num_heads": 3}


@pytest.fixture(scope="session")
def made(tmp_path_factory, digits_by_class):
    """made[classes, bits] → a checkpoint of a small model with random weights."""
    folder, found = tmp_path_factory.mktemp("outputs"), {}
    for classes in (0, 1):
        torch.manual_seed(0)
        module = timm.create_model("vit_tiny_patch16_224", num_classes=classes, **SMALL)
        torch.nn.init.normal_(module.pos_embed, std=0.5)
        for bits in ("w8a8", "w3a3"):
            found[classes, bits] = folder / f"{classes}-{bits}.safetensors"
            options = {"method": "rtn", "samples": 8, "init_images": 4}
            api.quantize(module, bits, str(digits_by_class), **options).save(found[classes, bits])
    return found


@pytest.fixture
def gallery(digits_by_class, tmp_path):
    """The first image of each class; the second are left as queries."""
    for name in ("gallery", "queries"):
        shutil.copytree(digits_by_class, tmp_path / name)
    for folder in digits_by_class.iterdir():
        (tmp_path / "gallery" / folder.name / "1.png").unlink()
        (tmp_path / "queries" / folder.name / "0.png").unlink()
    return tmp_path / "gallery"


def test_outputs_beside_a_reference(vitquant, made, digits_by_class):
    asked = ("eval", made[0, "w3a3"], "--reference", made[0, "w8a8"], "--json", "--data")
    found = vitquant(*asked, digits_by_class).json
    assert "top1" not in found
    assert "agreement" not in found
    assert (found["images"], found["not_finite"]) == (20, 0)
    assert 0.5 < found["cosine"] < 1
    assert found["mean_absolute_error"] > 0
    assert 0.01 < found["relative_error"] < 1
    assert set(found["reference"]) == {"model", "weights_sha256"}
    # No labels are needed.
    assert vitquant(*asked, digits_by_class / "one").json["images"] == 2


def test_the_line_on_stdout(vitquant, made, digits_by_class):
    asked = ("--data", digits_by_class, "--reference")
    ended = vitquant("eval", made[0, "w8a8"], *asked, made[0, "w8a8"])
    assert ended.out == "cosine 1.0000 relative_error 0 mean_absolute_error 0\n"
    ended = vitquant("eval", made[1, "w8a8"], *asked, made[1, "w8a8"])
    assert ended.out == "relative_error 0 mean_absolute_error 0\n"


def test_one_output_has_no_cosine(vitquant, made, digits_by_class):
    asked = ("eval", made[1, "w3a3"], "--data", digits_by_class, "--reference", made[1, "w8a8"])
    found = vitquant(*asked, "--json").json
    assert found["cosine"] is None
    assert found["relative_error"] > 0.1
    assert "top1" not in found
    ended = vitquant(*asked, "--max-error", 0.1)
    assert ended.code == 1
    assert ended.err.splitlines()[-1].startswith("vitquant: --max-error: the relative error is ")
    assert vitquant(*asked, "--max-error", 1000).code == 0


def test_neighbors_in_a_gallery(vitquant, made, gallery):
    asked = ("eval", made[0, "w3a3"], "--data", gallery.parent / "queries", "--gallery", gallery)
    found = vitquant(*asked, "--json").json
    assert (found["images"], found["gallery_images"], found["gallery"]) == (10, 10, str(gallery))
    assert set(found["recall_at_k"]) == {"1", "5", "10"}
    assert found["recall_at_k"]["1"] == found["neighbor_top1"]
    assert found["recall_at_k"]["10"] == 1
    assert "cosine" not in found
    beside = vitquant(*asked, "--reference", made[0, "w8a8"], "--json").json
    assert beside["neighbor_top1"] == found["neighbor_top1"]
    assert 0 <= beside["reference"]["neighbor_top1"] <= beside["reference"]["recall_at_k"]["5"]
    assert beside["cosine"] < 1
    alone = vitquant(*asked)
    assert alone.out == f"neighbor_top1 {found['neighbor_top1']:.4f}\n"
    assert "recall@5" in alone.err


def test_a_check_of_neighbors(vitquant, made, gallery):
    asked = ("--data", gallery.parent / "queries", "--gallery", gallery, "--min-top1")
    assert vitquant("eval", made[0, "w8a8"], *asked, 0).code == 0
    ended = vitquant("eval", made[0, "w8a8"], *asked, 1)
    assert ended.code == 1
    assert "--min-top1: top-1 is 0." in ended.err.splitlines()[-1]


def test_a_part_of_the_digits_is_the_gallery_of_the_other(vitquant, made):
    asked = ("eval", made[0, "w8a8"], "--data", "digits", "--gallery", "digits", "--json")
    found = vitquant(*asked).json
    assert (found["images"], found["gallery_images"]) == (500, 1297)
    assert found["neighbor_top1"] > 0.5


def test_folders_of_one_numbering(vitquant, made, gallery):
    queries = gallery.parent / "queries"
    (queries / "one").rename(queries / "uno")
    asked = ("eval", made[0, "w8a8"], "--data", queries, "--gallery")
    vitquant(*asked, gallery).refused("--data", "'uno' is no class of the gallery", "'eight'")
    ended = vitquant(*asked, gallery, "--ignore-unknown", "--json")
    assert ended.json["images"] == 9
    assert "1 images left out" in ended.err
    vitquant(*asked, gallery / "one").refused("--gallery", "no class folders", "named after it")
    vitquant(*asked, queries).refused("--gallery", "would find itself")


def test_what_has_to_be_added_or_left_out(vitquant, made, digits_by_class, tmp_path):
    asked = ("--data", digits_by_class)
    embeds, one, by = made[0, "w8a8"], made[1, "w8a8"], ("--reference", made[0, "w8a8"])
    vitquant("eval", embeds, *asked).refused("no classifier", "--reference", "--gallery")
    vitquant("eval", one, *asked).refused("one output alone", "--reference")
    vitquant("eval", one, *asked, "--gallery", "digits").refused("--gallery", "leave it out")
    vitquant("eval", embeds, *asked, *by, "--min-top1", 0.5).refused("--min-top1", "leave it out")
    vitquant("eval", embeds, *asked, *by, "--ignore-unknown").refused("--ignore-unknown")
    vitquant("eval", embeds, *asked, *by, "--classes", tmp_path).refused("--classes")
    vitquant("eval", embeds, *asked, "--max-error", 1).refused("--max-error", "--reference")
    vitquant("eval", embeds, *asked, "--reference", one).refused("--reference", "1 classes")
    digits = ("eval", "vit_digits", *asked)
    vitquant(*digits, "--gallery", "digits").refused("--gallery", "has a classifier")
    vitquant(*digits, "--reference", "vit_digits", "--max-error", 1).refused("--min-top1")


def test_outputs_that_are_nan(vitquant, made, digits_by_class, monkeypatch):
    embeds, digits = ("--reference", made[0, "w8a8"]), ("--reference", "vit_digits")
    forward = Model.__call__
    monkeypatch.setattr(Model, "__call__", lambda self, images: forward(self, images) * torch.nan)
    ended = vitquant("eval", made[0, "w8a8"], "--data", digits_by_class, *embeds, "--json")
    assert (ended.json["relative_error"], ended.json["not_finite"]) == (None, 20)
    assert "warning: outputs are NaN or infinite for 20 of 20 images" in ended.err
    assert vitquant("eval", made[0, "w8a8"], "--data", digits_by_class, *embeds).code == 0
    ended = vitquant("eval", "vit_digits", "--data", digits_by_class, *digits, "--json")
    assert (ended.json["top1"], ended.json["agreement"], ended.json["not_finite"]) == (0, 0, 20)
    assert "warning: logits are NaN or infinite for 20 of 20 images" in ended.err
    assert "warning: logits of the reference are NaN" in ended.err
