"""What a quantized model has left of the float one."""

import pytest
import torch
from PIL import Image
from torch import nn

from vitquant.data.image_source import ListSource
from vitquant.evaluation.agreement import compare, compare_outputs, same_top1


class Reader(nn.Module):
    """The class is the red of the picture, less ``shift`` where that is odd."""

    def __init__(self, classes=10, shift=0):
        super().__init__()
        self.num_classes = classes
        self.shift = shift

    def forward(self, images):
        red = ((images[:, 0, 0, 0] * 0.5 + 0.5) * 255).round().long()
        return torch.eye(self.num_classes or 10)[red - self.shift * (red % 2)]


def pictures(count):
    return ListSource("colors", [Image.new("RGB", (32, 32), (i % 10, 0, 0)) for i in range(count)])


@pytest.mark.parametrize(("count", "compared"), [(4, 4), (50, 50), (300, 256)])
def test_the_share_of_equal_guesses(count, compared, wrapped):
    found = compare(wrapped(Reader(shift=1)), wrapped(Reader()), pictures(count), "cpu")
    assert (found.images, found.agreement, found.cosine) == (compared, 0.5, None)
    assert not found.collapsed
    assert str(found) == f"agreement with float 50.0% on {compared} calibration images"


class Embedder(Reader):
    """An output for each picture: the number of its class, and what ``error`` adds."""

    def __init__(self, classes=0, error=0.0):
        super().__init__(classes)
        self.error = error

    def forward(self, images):
        red = ((images[:, 0, 0, 0] * 0.5 + 0.5) * 255).round()
        return (red + self.error)[:, None].expand(-1, 1 if self.num_classes else 2)


def test_a_tower_is_compared_by_its_output(wrapped):
    found = compare(wrapped(Reader(0, shift=1)), wrapped(Reader(0)), pictures(4), "cpu")
    assert (found.agreement, found.cosine) == (None, 0.5)
    # Two of four rows of ten have two elements that are off by one.
    assert found.relative_error == pytest.approx((4 / 40) ** 0.5 / torch.eye(10)[:4].std().item())
    assert str(found) == "cosine similarity with float 0.500, relative error 1.041 on 4 images"
    assert found.collapsed
    found = compare(wrapped(Embedder(error=0.1)), wrapped(Embedder()), pictures(4), "cpu")
    assert found.relative_error < 0.1
    assert not found.collapsed


@pytest.mark.parametrize(("error", "collapsed"), [(0.0, False), (0.5, False), (2.0, True)])
def test_one_output_is_compared_by_its_error(error, collapsed, wrapped):
    found = compare(wrapped(Embedder(1, error)), wrapped(Embedder(1)), pictures(4), "cpu")
    assert (found.agreement, found.cosine) == (None, None)
    spread = torch.arange(4.0).std().item()
    assert found.relative_error == pytest.approx(error / spread)
    assert found.collapsed is collapsed
    assert str(found) == f"relative error {error / spread:.3f} on 4 images"


@pytest.mark.parametrize("classes", [0, 1, 10])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_nan_and_infinity_agree_with_nothing(classes, value, wrapped):
    class Broken(Reader):
        def forward(self, images):
            return torch.full((len(images), max(1, self.num_classes)), value)

    broken = wrapped(Broken(classes))
    found = compare(broken, broken, pictures(4), "cpu")
    assert found.not_finite == 4
    assert found.collapsed
    if classes > 1:
        assert found.agreement == 0
    else:
        assert found.relative_error == float("inf")


@pytest.mark.parametrize(("classes", "floor"), [(2, 0.6), (10, 0.28), (1000, 0.2008)])
def test_a_model_that_guesses_has_collapsed(classes, floor, wrapped):
    class Stuck(Reader):
        def forward(self, images):
            return torch.eye(self.num_classes)[: len(images)] * torch.nan

    own = ListSource("colors", [Image.new("RGB", (32, 32), (1, 0, 0))] * 2)
    found = compare(wrapped(Stuck(classes)), wrapped(Reader(classes)), own, "cpu")
    assert found.floor == pytest.approx(floor)
    assert found.collapsed
    assert not compare(wrapped(Reader(classes)), wrapped(Reader(classes)), own, "cpu").collapsed


def test_outputs_are_compared_by_guess_and_by_distance():
    expected = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]])
    found = expected.flip(0)
    assert compare_outputs(expected, expected, 3).agreement == 1
    assert compare_outputs(expected, found, 3).agreement == 0.5
    assert compare_outputs(expected, found, 0).agreement is None
    distance = (found - expected).square().mean().sqrt() / expected.std()
    assert compare_outputs(expected, found, 3).difference == pytest.approx(float(distance))


def test_an_output_that_is_no_number_agrees_with_nothing():
    expected = torch.eye(3)
    found = compare_outputs(expected, expected.where(expected > 0, torch.nan), 3)
    assert (found.agreement, found.difference) == (0, float("inf"))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_broken_logits_of_either_side_agree_with_nothing(value):
    good = torch.eye(3)
    # The first row alone is broken, and its largest element stays where it is for -inf.
    broken = good.clone()
    broken[0, 1] = value
    assert same_top1(good, broken).tolist() == [False, True, True]
    assert same_top1(broken, good).tolist() == [False, True, True]
    assert same_top1(broken, broken).tolist() == [False, True, True]


def test_one_class_has_an_error_and_no_agreement():
    expected = torch.arange(4.0)[:, None]
    found = compare_outputs(expected, expected + 1, 1)
    assert found.agreement is None
    assert found.difference == pytest.approx(1 / float(expected.std()))
