"""The digits: what an image looks like, and that the split never moves."""

import hashlib
from collections import Counter

import pytest
from sklearn.datasets import load_digits

from vitquant.data.sources.digits import CLASS_NAMES, digits


def test_the_parts_cover_the_set_and_share_no_image():
    # No two of scikit-learn's digits are alike, so equal pixels would mean the same image.
    train = {image.tobytes() for image, _ in digits("train")}
    test = {image.tobytes() for image, _ in digits("test")}
    assert (len(train), len(test)) == (1297, 500)
    assert not train & test


def test_the_split_is_the_one_the_bundled_weights_were_trained_on():
    # Labels in order stand for the split: pixels may move by one step between Pillow releases.
    labels = bytes(label for _, label in digits("test"))
    assert hashlib.sha256(labels).hexdigest() == (
        "cd136f7242bb54909a9b190fe61365155060395998821bded0cacf13a87df589"
    )


def test_the_split_keeps_the_proportions_of_the_classes():
    whole = Counter(load_digits().target.tolist())
    test = Counter(label for _, label in digits("test"))
    assert len(whole) == len(CLASS_NAMES)
    for label, count in whole.items():
        assert abs(test[label] - count * 500 / 1797) <= 1


def test_an_image_is_a_gray_digit_on_black_in_rgb():
    image, _ = digits("train")[0]
    assert (image.mode, image.size) == ("RGB", (32, 32))
    red, green, blue = image.split()
    assert red.tobytes() == green.tobytes() == blue.tobytes()
    assert image.getpixel((0, 0)) == (0, 0, 0)
    assert red.getextrema()[1] > 200


def test_an_unknown_part_is_refused():
    with pytest.raises(ValueError, match="validation"):
        digits("validation")
