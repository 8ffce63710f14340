import json

import pytest

from vitquant.data.class_names import ClassNames
from vitquant.models.timm_adapter import imagenet_classes

DIGITS = ClassNames(tuple("0123456789"), tuple("0123456789"))


@pytest.fixture(scope="module")
def imagenet():
    return imagenet_classes(1000)


@pytest.mark.parametrize(
    ("folder", "index"),
    [
        ("n01440764", 0),
        ("N01440764", 0),
        ("tench, Tinca tinca", 0),
        ("tench,_tinca_tinca", 0),
        ("Tench", 0),
        ("great_white_shark", 2),
        ("great-white shark", 2),
        ("man eater", 2),
        ("maillot, tank suit", 639),
        ("7", 7),
        ("0007", 7),
    ],
)
def test_names_of_a_class(imagenet, folder, index):
    assert imagenet.match(folder) == index


@pytest.mark.parametrize(
    "folder", ["crane", "maillot", "toaster oven", "", "1000", "-1", "7.0", "²"]
)
def test_names_of_no_or_of_several_classes(imagenet, folder):
    assert imagenet.match(folder) is None


def test_every_wordnet_id_matches_itself(imagenet):
    assert [imagenet.match(i) for i in imagenet.ids] == list(range(1000))


def test_ambiguous_name_lists_its_candidates(imagenet):
    assert imagenet.candidates("crane") == (134, 517)


def test_examples_are_spelled_alike_and_accepted(imagenet):
    examples = imagenet.examples("Golden_retriver")
    assert examples[0] == "golden retriever"
    assert all(imagenet.match(example) is not None for example in examples)
    assert imagenet.examples("????") == list(imagenet.ids[:3])


def test_a_class_name_goes_before_an_index():
    shifted = ClassNames(("1", "2", "3"), ("1", "2", "3"))
    assert [shifted.match(f) for f in ("0", "1", "3")] == [0, 0, 2]
    assert DIGITS.match("7") == 7


@pytest.mark.parametrize("num_classes", [11821, 21841, 21843])
def test_larger_imagenets(num_classes):
    assert len(imagenet_classes(num_classes)) == num_classes


def test_no_imagenet_of_that_size():
    assert imagenet_classes(10) is None


def test_json_round_trip(imagenet):
    assert ClassNames.from_json(json.loads(json.dumps(imagenet.to_json()))) == imagenet


@pytest.mark.parametrize(
    "value",
    [None, [], {"ids": ["a"]}, {"ids": ["a"], "names": [1]}, {"ids": ["a"], "names": []}],
)
def test_json_that_is_something_else(value):
    with pytest.raises(ValueError, match=r"names"):
        ClassNames.from_json(value)
