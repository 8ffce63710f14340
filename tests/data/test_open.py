from importlib.util import find_spec

import pytest

from vitquant.core.errors import UserError


def test_missing_path_names_what_is_accepted(tmp_path, evaluation):
    with pytest.raises(UserError, match=r"^--data: '.*nowhere' does not exist; accepted: a folder"):
        evaluation(tmp_path / "nowhere")


def test_missing_path_suggests_a_neighbour(tmp_path, evaluation):
    (tmp_path / "photos").mkdir()
    with pytest.raises(UserError, match=rf"did you mean {tmp_path}/photos\?"):
        evaluation(tmp_path / "photo")


@pytest.mark.parametrize(
    ("source", "meant"), [("digit", "digits"), ("hdfs/owner/name", "hfds/owner/name")]
)
def test_misspelled_word(source, meant, evaluation):
    with pytest.raises(UserError, match=rf"did you mean {meant}\?"):
        evaluation(source)


@pytest.mark.parametrize("source", ["", "wds/", "x" * 5000, "nul\0"])
def test_name_that_can_be_no_file(source, evaluation):
    with pytest.raises(UserError, match=r"^--data: '.*' does not exist; accepted"):
        evaluation(source)


def test_other_file(tmp_path, evaluation):
    (tmp_path / "photos.tar.gz").write_bytes(b"")
    with pytest.raises(UserError, match=r"photos\.tar\.gz: is neither a folder nor"):
        evaluation(tmp_path / "photos.tar.gz")


def test_digits(evaluation, calibration):
    test = evaluation("digits", classes=None, num_classes=10)
    train = calibration("digits", classes=None, num_classes=10)
    assert set(test.labels) == set(train.labels) == set(range(10))
    assert len(test) < len(train)
    assert test.image(0).mode == "RGB"


def test_digits_for_another_model(evaluation, calibration):
    with pytest.raises(UserError, match=r"^--data digits: has 10 classes, but the model has 3"):
        evaluation("digits")
    assert len(calibration("digits")) > 0


@pytest.mark.parametrize(
    ("source", "module", "pip"),
    [
        ("hfds/owner/name", "datasets", "datasets"),
        ("HFIDS/owner/name", "datasets", "datasets"),
        ("wds/shards", "webdataset", "webdataset"),
        ("tfds/name", "tensorflow_datasets", "tensorflow-datasets"),
    ],
)
def test_missing_package(source, module, pip, evaluation, capsys):
    if find_spec(module) is not None:
        pytest.skip(f"{module} is installed")
    with pytest.raises(UserError, match=rf"^--data {source}: needs .*pip install {pip}"):
        evaluation(source)
    assert capsys.readouterr().out == ""
