import pytest

from vitquant.core.errors import UserError
from vitquant.models.timm_adapter import imagenet_classes


@pytest.fixture
def by_class(tmp_path, write):
    """Two of three classes, in another order than the model's, one of them in two folders."""
    root = tmp_path / "photos"
    write(root / "a" / "Red-Plum" / "1.png", 30)
    write(root / "a" / "Red-Plum" / "2.PNG", 31)
    write(root / "b" / "apple" / "1.png", 10)
    write(root / "n1" / "1.png", 11)
    (root / "n1" / "notes.txt").write_text("ripe")
    return root


def test_present_classes_get_the_outputs_of_the_model(by_class, evaluation, reds):
    source = evaluation(by_class)
    assert source.name == str(by_class)
    assert dict(zip(reds(source), source.labels, strict=True)) == {30: 2, 31: 2, 10: 0, 11: 0}
    assert source.skipped == {}


def test_tar(by_class, pack, evaluation, reds):
    source = evaluation(pack(by_class))
    assert dict(zip(reds(source), source.labels, strict=True)) == {30: 2, 31: 2, 10: 0, 11: 0}
    assert {p.name for p in by_class.parent.iterdir()} == {"photos", "photos.tar"}


def test_images_are_rgb_whatever_the_file_holds(tmp_path, write, evaluation):
    for mode, name in [("L", "1.png"), ("P", "2.png"), ("RGBA", "3.png"), ("CMYK", "4.jpg")]:
        write(tmp_path / "apple" / name, 255, mode)
    source = evaluation(tmp_path)
    images = [source.image(i) for i in range(len(source))]
    assert {(image.mode, image.size) for image in images} == {("RGB", (8, 6))}


def test_unknown_folder_is_named_with_what_would_be_accepted(by_class, write, evaluation):
    write(by_class / "aple" / "1.png")
    with pytest.raises(UserError, match=r"^--data .*photos: 'aple' is no class .* 'apple'") as e:
        evaluation(by_class)
    assert "\n" not in str(e.value)


def test_unknown_folder_can_be_left_out(by_class, write, evaluation, reds):
    write(by_class / "aple" / "1.png", 99)
    write(by_class / "stray.png", 98)
    source = evaluation(by_class, ignore_unknown=True)
    assert source.skipped == {"aple": 1, ".": 1}
    assert dict(zip(reds(source), source.labels, strict=True)) == {30: 2, 31: 2, 10: 0, 11: 0}


def test_nothing_left_is_an_error(tmp_path, write, evaluation):
    write(tmp_path / "aple" / "1.png")
    with pytest.raises(UserError, match=r"'aple' is no class"):
        evaluation(tmp_path, ignore_unknown=True)


def test_stray_images_are_an_error(by_class, write, evaluation):
    write(by_class / "stray.png")
    with pytest.raises(UserError, match=r"some images lie in no class folder"):
        evaluation(by_class)


def test_ambiguous_folder_is_explained(tmp_path, write, evaluation):
    write(tmp_path / "crane" / "1.png")
    with pytest.raises(UserError, match=r"'crane' names 2 classes; .* n02012849, n03126707"):
        evaluation(tmp_path, classes=imagenet_classes(1000), num_classes=1000)


@pytest.mark.parametrize("classes", [True, False])
def test_evaluation_needs_class_folders(tmp_path, write, evaluation, fruit, classes):
    write(tmp_path / "1.png")
    with pytest.raises(UserError, match=r"one folder for each class"):
        evaluation(tmp_path, classes=fruit if classes else None)


def test_nameless_classes_are_ranked_if_all_are_there(tmp_path, write, evaluation, reds):
    for red, folder in enumerate(["c2", "c9", "c10"]):
        write(tmp_path / folder / "1.png", red)
    source = evaluation(tmp_path, classes=None)
    assert dict(zip(reds(source), source.labels, strict=True)) == {0: 0, 1: 1, 2: 2}


def test_nameless_classes_are_not_ranked_if_some_are_missing(by_class, evaluation):
    with pytest.raises(UserError, match=r"found 3 class folders, but the model has 4 classes"):
        evaluation(by_class, classes=None, num_classes=4)


def test_calibration_needs_no_known_classes(tmp_path, write, calibration, reds):
    write(tmp_path / "x" / "1.png", 1)
    write(tmp_path / "y" / "1.png", 2)
    write(tmp_path / "y" / "2.png", 3)
    source = calibration(tmp_path)
    assert reds(source) == [1, 2, 3]
    assert source.labels == [0, 1, 1]


@pytest.mark.parametrize("tar", [False, True])
def test_calibration_without_class_folders(tmp_path, write, pack, calibration, reds, tar):
    root = tmp_path / "photos"
    write(root / "2.jpg", 20)
    write(root / "10.jpeg", 200)
    source = calibration(pack(root) if tar else root)
    assert source.labels is None
    assert reds(source) == pytest.approx([20, 200], abs=2)


def test_splits_are_not_mixed(tmp_path, write, evaluation, calibration, reds):
    write(tmp_path / "train" / "apple" / "1.png", 1)
    write(tmp_path / "val" / "apple" / "1.png", 2)
    assert reds(evaluation(tmp_path)) == [2]
    assert reds(calibration(tmp_path)) == [1]
    assert evaluation(tmp_path).name == str(tmp_path / "val")


def test_a_class_called_train_is_a_class(tmp_path, write, calibration):
    write(tmp_path / "train" / "1.png")
    write(tmp_path / "bus" / "1.png")
    assert len(calibration(tmp_path)) == 2


@pytest.mark.parametrize("tar", [False, True])
def test_no_images(tmp_path, pack, calibration, tar):
    root = tmp_path / "photos"
    (root / "apple").mkdir(parents=True)
    (root / "apple" / "notes.txt").write_text("ripe")
    with pytest.raises(UserError, match=r"holds no images \(1 file passed over: 1 \.txt\)"):
        calibration(pack(root) if tar else root)


def test_damaged_tar(tmp_path, calibration):
    path = tmp_path / "photos.tar"
    path.write_bytes(b"not a tar" * 200)
    with pytest.raises(UserError, match=r"photos\.tar: not a readable tar"):
        calibration(path)


def test_truncated_tar(tmp_path, write, pack, calibration):
    write(tmp_path / "photos" / "1.png")
    path = pack(tmp_path / "photos")
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(UserError, match=r"photos\.tar"):
        calibration(path).image(0)


def test_file_that_vanished(by_class, evaluation):
    source = evaluation(by_class)
    (by_class / "n1" / "1.png").unlink()
    with pytest.raises(UserError, match=r"cannot read .*photos/n1/1\.png"):
        source.image(len(source) - 1)
