import pytest
from PIL import Image

from vitquant.core.errors import UserError
from vitquant.data.class_names import LabelSpace
from vitquant.data.image_source import Role, SourceRequest
from vitquant.data.sources.stream import StreamSource, as_label

REQUEST = SourceRequest("wds/x", "--data", Role.EVALUATION, LabelSpace(3), False, 1)


class Countdown:
    """Images whose red is their number, labels counting down; says to be `length` long."""

    def __init__(self, length: int, label: object = None) -> None:
        self.length = length
        self.label = label

    def __len__(self) -> int:
        return self.length

    def __iter__(self):
        for i in range(3):
            yield Image.new("RGB", (1, 1), (i, 0, 0)), 2 - i if self.label is None else self.label


def stream(length: int = 3, label: object = None, output_of=(0, 1, 2)) -> StreamSource:
    return StreamSource("x", Countdown(length, label), REQUEST, output_of)


def red(source: StreamSource, i: int) -> int:
    return source.image(i).getpixel((0, 0))[0]


def test_slightly_out_of_order_and_again():
    source = stream()
    assert [red(source, i) for i in (1, 0, 2, 0, 1)] == [1, 0, 2, 0, 1]
    assert source.labels == [2, 1, 0]


def test_what_lies_far_back_is_let_go(monkeypatch):
    monkeypatch.setattr("vitquant.data.sources.stream._KEPT", 1)
    source = stream()
    assert red(source, 2) == 2
    assert len(source._waiting) <= 1
    assert [red(source, i) for i in (0, 1)] == [0, 1]


def test_outputs_are_looked_up():
    source = stream(output_of=(5, 6, 7))
    source.image(2)
    assert source.labels == [7, 6, 5]


def test_unknown_length_is_counted():
    assert len(stream(length=0)) == 3


def test_ends_early():
    with pytest.raises(UserError, match=r"^--data wds/x: gave 3 of the 4 images"):
        stream(length=4).image(3)


def test_classes_that_the_model_lacks():
    with pytest.raises(UserError, match=r"only have classes that the model has"):
        stream(output_of=(0, None, 2))


@pytest.mark.parametrize(("target", "label"), [(None, -1), (-1, -1), (-7, -1), (2, 2)])
def test_labels(target, label):
    assert as_label(target, REQUEST) == label


@pytest.mark.parametrize("target", [[1, 2], "plum"])
def test_labels_that_are_no_class_number(target):
    with pytest.raises(UserError, match=r"has the label .*; one class number"):
        stream(label=target).image(0)
