"""Data sets that timm opens by name; each test runs where the package that it needs is there."""

import json
import tarfile

import pytest

from vitquant.core.errors import UserError
from vitquant.data.class_names import ClassNames


@pytest.fixture
def fruit_bowl(tmp_path, write):
    """A training and a validation set; reds tell the class (tens) and the number (ones)."""
    for split, count in (("train", 3), ("validation", 2)):
        for tens, name in ((10, "apple"), (20, "plum")):
            for i in range(count):
                write(tmp_path / "bowl" / split / name / f"{i}.png", tens + i)
    return tmp_path / "bowl"


def test_torchvision_folder(fruit_bowl, evaluation, calibration, reds):
    source = evaluation(f"torch/image_folder/{fruit_bowl}")
    assert dict(zip(reds(source), source.labels, strict=True)) == {10: 0, 11: 0, 20: 2, 21: 2}
    assert len(calibration(f"torch/folder/{fruit_bowl}")) == 6


def test_torchvision_damaged_file(fruit_bowl, evaluation):
    (fruit_bowl / "validation" / "apple" / "0.png").write_text("ripe")
    with pytest.raises(UserError, match=r"cannot read .*validation/apple/0\.png"):
        evaluation(f"torch/folder/{fruit_bowl}").image(0)


def test_torchvision_set_that_does_not_exist(evaluation):
    with pytest.raises(UserError, match=r"^--data torch/pears: cannot be opened \(Unknown"):
        evaluation("torch/pears")


@pytest.fixture
def hub(fruit_bowl, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return fruit_bowl


def test_hub_evaluation(hub, evaluation, reds):
    source = evaluation(f"hfds/{hub}")
    assert source.name.endswith("(validation)")
    assert dict(zip(reds(source), source.labels, strict=True)) == {10: 0, 11: 0, 20: 2, 21: 2}


def test_hub_calibration(hub, calibration):
    source = calibration(f"hfds/{hub}")
    assert sorted(source.labels) == [0, 0, 0, 1, 1, 1]


def test_hub_class_that_the_model_lacks(hub, write, evaluation, reds):
    write(hub / "train" / "quince" / "0.png")
    write(hub / "validation" / "quince" / "0.png", 90)
    names = ClassNames(("a", "b", "c", "d"), ("apple", "pear", "plum", "fig"))
    options = {"classes": names, "num_classes": 4}
    with pytest.raises(UserError, match=r"'quince' is no class of the model"):
        evaluation(f"hfds/{hub}", **options)
    source = evaluation(f"hfds/{hub}", **options, ignore_unknown=True)
    assert source.skipped == {"quince": 1}
    assert 90 not in reds(source)


def test_hub_streamed(hub, tmp_path, evaluation, calibration, reds):
    import datasets

    # A stream has to say how long it is: hub data sets do so in the head of their README.
    published = tmp_path / "published"
    content = datasets.load_dataset(str(hub))
    for split, part in content.items():
        part.to_parquet(published / f"{split}-00000-of-00001.parquet")
    head = content["train"].info._to_yaml_dict()
    head["splits"] = [{"name": name, "num_examples": len(part)} for name, part in content.items()]
    (published / "README.md").write_text(f"---\n{json.dumps({'dataset_info': head})}\n---\n")

    source = evaluation(f"hfids/{published}")
    assert reds(source) == [10, 11, 20, 21]
    assert source.labels == [0, 0, 2, 2]
    assert reds(calibration(f"hfids/{published}", limit=4)) == [10, 11, 12, 20]


def test_hub_set_that_does_not_exist(hub, evaluation):
    with pytest.raises(UserError, match=r"cannot be opened"):
        evaluation(f"hfds/{hub}/nowhere")


@pytest.fixture
def shards(tmp_path, write):
    """Two shards of three images with the labels 0, 1, 2, and an index of them."""
    pytest.importorskip("webdataset")
    root = tmp_path / "shards"
    root.mkdir()
    for shard in range(2):
        with tarfile.open(root / f"part-{shard}.tar", "w") as tar:
            for label in range(3):
                key = tmp_path / f"{shard}{label}"
                tar.add(write(key.with_suffix(".png"), 10 * shard + label), f"{key.name}.jpg")
                key.with_suffix(".cls").write_text(str(label))
                tar.add(key.with_suffix(".cls"), f"{key.name}.cls")
    split = {"name": "validation", "num_samples": 6, "shard_lengths": [3, 3]}
    split["filenames"] = ["part-0.tar", "part-1.tar"]
    info = {"splits": {"validation": split, "train": split | {"name": "train"}}}
    (root / "_info.json").write_text(json.dumps(info))
    return root


@pytest.mark.parametrize("pattern", ["", "/part-{0..1}.tar|6", "/part-{0..1}.tar"])
def test_webdataset_evaluation(shards, pattern, evaluation, reds):
    source = evaluation(f"wds/{shards}{pattern}")
    assert len(source) == 6
    for _ in range(2):  # a second pass starts again
        assert reds(source) == [0, 1, 2, 10, 11, 12]
        assert source.labels == [0, 1, 2, 0, 1, 2]


def test_webdataset_is_cut_off_for_calibration(shards, calibration, reds):
    source = calibration(f"wds/{shards}", limit=4)
    assert reds(source) == [0, 1, 2, 10]
    assert source.labels == [0, 1, 2, 0]


def test_webdataset_with_labels_that_the_model_lacks(shards, evaluation):
    source = evaluation(f"wds/{shards}", classes=None, num_classes=2)
    with pytest.raises(UserError, match=r"has the label 2; labels from 0 to 1"):
        source.image(2)


def test_webdataset_that_ends_early(shards, evaluation):
    source = evaluation(f"wds/{shards}/part-0.tar|5")
    with pytest.raises(UserError, match=r"gave 3 of the 5 images"):
        source.image(4)
