"""Photographs of ImageNet, of 510 of its 1,000 classes, where a copy lies beside the project."""

from pathlib import Path

import pytest

from vitquant.data.class_names import LabelSpace
from vitquant.data.loader import stratified_sample
from vitquant.data.open import Role, open_source
from vitquant.models.timm_adapter import imagenet_classes

IMAGENET = Path(__file__).parents[3] / "shared" / "data" / "imagenet"

pytestmark = pytest.mark.skipif(
    not IMAGENET.is_dir(), reason="no ImageNet images beside the project"
)


def open_images(part: str, role: Role):
    return open_source(
        str(IMAGENET / part),
        flag="--data",
        label_space=LabelSpace(1000, imagenet_classes(1000)),
        role=role,
    )


def test_labels_are_ranks_among_all_classes():
    rank = {path.name: i for i, path in enumerate(sorted((IMAGENET / "calib").iterdir()))}
    assert len(rank) == 1000
    source = open_images("val", Role.EVALUATION)
    expected = sorted(
        (str(path), rank[path.parent.name]) for path in (IMAGENET / "val").glob("*/*.JPEG")
    )
    assert len(source) == len(expected) == 969
    assert source.labels == [label for _, label in expected]
    assert len(set(source.labels)) == 510
    assert source.image(968).mode == "RGB"


def test_calibration_covers_the_classes():
    source = open_images("calib", Role.CALIBRATION)
    assert len({source.labels[i] for i in stratified_sample(source, 128, seed=0)}) == 128
