"""Small pictures on disk, each recognizable by its color."""

import tarfile
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from vitquant.data.class_names import ClassNames, LabelSpace
from vitquant.data.open import Role, open_source

FRUIT = ClassNames(("n1", "n2", "n3"), ("apple", "pear, Pyrus communis", "red plum, plum"))


@pytest.fixture
def fruit():
    return FRUIT


@pytest.fixture
def write():
    """write(path, red) → path of an image of 8 by 6 pixels, as its extension says."""

    def write_image(path: Path, red: int = 0, mode: str = "RGB") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), (red, 0, 0)).convert(mode).save(path)
        return path

    return write_image


@pytest.fixture
def pack():
    """pack(folder) → path of a tar of the folder's content, beside it."""

    def pack_folder(folder: Path) -> Path:
        path = folder.parent / f"{folder.name}.tar"
        with tarfile.open(path, "w") as tar:
            tar.add(folder, arcname=".")
        return path

    return pack_folder


@pytest.fixture
def evaluation():
    """Open a source to score a model of three fruits."""

    return partial(_open, flag="--data", role=Role.EVALUATION)


@pytest.fixture
def calibration():
    """Open a source to calibrate a model of three fruits."""

    return partial(_open, flag="--calib", role=Role.CALIBRATION)


def _open(source, classes=FRUIT, num_classes=3, **options):
    return open_source(str(source), label_space=LabelSpace(num_classes, classes), **options)


@pytest.fixture
def reds():
    """reds(source) → the red of each image, as a means to tell them apart."""
    return lambda source: [source.image(i).getpixel((0, 0))[0] for i in range(len(source))]
