import pytest
import torch
from PIL import Image
from torch import nn

from vitquant.data.image_source import ListSource
from vitquant.errors import UserError
from vitquant.evaluation.accuracy import evaluate
from vitquant.models.model import Identity, Model

PREPROCESSING = {
    "input_size": (3, 4, 4),
    "mean": (0.0, 0.0, 0.0),
    "std": (1.0, 1.0, 1.0),
    "interpolation": "bilinear",
    "crop_pct": 1.0,
}


class Brightest(nn.Module):
    """Seven classes; the red of the image says which one is guessed, plus a shift."""

    num_classes = 7

    def __init__(self, shift=0):
        super().__init__()
        self.shift = shift

    def forward(self, x):
        guess = ((x[:, 0].mean((1, 2)) * 255 / 30).round().long() + self.shift) % 7
        distance = (torch.arange(7)[None] - guess[:, None]) % 7
        return -distance.float()


def model(shift=0):
    return Model(Brightest(shift), Identity("m", "m"), PREPROCESSING, None)


def source(labels):
    images = [Image.new("RGB", (4, 4), (30 * i, 0, 0)) for i in range(len(labels))]
    return ListSource("reds", images, labels)


def test_top1_and_top5_are_fractions_of_the_images():
    # Guesses are 0..6; the fifth place of a guess g is (g + 4) % 7.
    found = evaluate(model(), source([0, 1, 6, 3, 4, 5, 5]), batch_size=3)
    assert found.images == 7
    assert found.accuracy.top1 == pytest.approx(5 / 7)  # labels 6 for guess 2, 5 for guess 6 miss
    assert found.accuracy.top5 == pytest.approx(6 / 7)  # 6 is the fifth place of guess 2


def test_the_reference_is_scored_on_the_same_images():
    found = evaluate(model(), source([0, 1, 2, 3]), reference=model(shift=1))
    assert found.accuracy.top1 == 1.0
    assert found.reference.top1 == 0.0
    assert found.agreement == 0.0
    assert evaluate(model(), source([0]), reference=model()).agreement == 1.0


def test_images_without_a_label_are_left_out():
    found = evaluate(model(), source([0, -1, -1, 5]), batch_size=2)
    assert found.images == 2
    assert found.accuracy.top1 == 0.5


def test_no_label_at_all_is_the_users_mistake():
    with pytest.raises(UserError, match="--data"):
        evaluate(model(), source([-1, -1]))
