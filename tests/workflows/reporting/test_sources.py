"""Which images a report looks at."""

from pathlib import Path

import pytest

from vitquant.config.report import ReportSettings
from vitquant.core.errors import UserError
from vitquant.core.progress import Silent
from vitquant.data.reading import Reading
from vitquant.data.sources.digits import CLASS_NAMES, digits
from vitquant.workflows.open import open_model
from vitquant.workflows.reporting.sources import choose, open_calibration, open_data, page_for


@pytest.fixture
def by_class(tmp_path):
    """Two digits of each class."""
    for label, name in enumerate(CLASS_NAMES):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i, image in enumerate([image for image, of in digits("train") if of == label][:2]):
            image.save(tmp_path / "images" / name / f"{i}.png")
    return tmp_path / "images"


@pytest.fixture(scope="module")
def model():
    return open_model("vit_digits")


def data(model, source, **more):
    return open_data(model, ReportSettings.build(data=str(source), **more), Reading())


def test_labels_are_outputs_where_there_are_classes(model, by_class):
    images, labeled = data(model, by_class)
    assert labeled
    assert sorted(images.labels) == sorted(2 * list(range(10)))
    shown = choose(images, labeled, 10, Silent())
    assert sorted(shown.images.labels) == list(range(10))
    assert [images.labels[i] for i in shown.numbers] == list(shown.images.labels)


def test_images_without_classes_have_no_labels(model, by_class):
    images, labeled = data(model, by_class / "zero")
    assert (len(images), labeled) == (2, False)
    assert choose(images, labeled, 10, Silent()).images.labels is None
    assert data(model, by_class) is not None
    assert open_data(model, ReportSettings.build(), Reading()) is None


def test_folders_that_are_no_class_are_told(model, by_class):
    (by_class / "zero").rename(by_class / "zebra")
    with pytest.raises(UserError, match="'zebra' is no class"):
        data(model, by_class)
    images, _ = data(model, by_class, ignore_unknown=True)
    assert len(images) == 18


def calib(model, stored, given=None):
    settings = ReportSettings.build(calib=given)
    return open_calibration(model, {"samples": 4, "seed": 0} | stored, settings, Reading())


def test_calibration_images_that_are_still_there(model, by_class):
    images, name_of = calib(model, {"calib": str(by_class)})
    assert len(images) == 20
    assert [name_of(label) for label in sorted(set(images.labels))] == sorted(CLASS_NAMES)
    images, name_of = calib(model, {"calib": "digits"})
    assert name_of(images.labels[0]) in CLASS_NAMES
    images, _ = calib(model, {"calib": "noise"})
    assert len(images) == 4


def test_calibration_images_that_are_not(model, by_class):
    for gone in ("/nowhere/images", "synthetic", "hfds/owner/name", "images", "None"):
        assert calib(model, {"calib": gone})[0] is None
    assert calib(model, {"calib": str(by_class), "samples": 21})[0] is None
    assert len(calib(model, {"calib": "/nowhere"}, str(by_class))[0]) == 20
    with pytest.raises(UserError, match="does not exist"):
        calib(model, {"calib": "digits"}, "/nowhere/images")


def test_where_the_page_goes():
    local = Path("a/model-w4a4.safetensors")
    assert page_for("a/model-w4a4.safetensors", None, local) == Path("a/model-w4a4.html")
    assert page_for("a/model", None, Path("a/model")) == Path("a/model.html")
    assert page_for("hf-hub:owner/name", None, None) == Path("name.html")
    assert page_for("x", Path("y.html"), local) == Path("y.html")
