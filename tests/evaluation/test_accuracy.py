"""Counting who is right, with a model that reads its answer off the picture's color."""

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image
from torch import nn

from vitquant.core.errors import UserError
from vitquant.data.image_source import ListSource
from vitquant.evaluation.accuracy import evaluate


class Reader(nn.Module):
    """The class is the red of the picture; then come the classes after it. ``shift`` errs."""

    num_classes = 10

    def __init__(self, shift=0):
        super().__init__()
        self.shift = shift

    def forward(self, images):
        red = ((images[:, 0, 0, 0] * 0.5 + 0.5) * 255).round().long() + self.shift
        return -((torch.arange(10) - red[:, None]) % 10).float()


def pictures(labels, reds=None):
    images = [Image.new("RGB", (32, 32), (red, 0, 0)) for red in reds or range(len(labels))]
    return ListSource("colors", images, labels)


def test_first_and_among_the_first_five(wrapped):
    # Right, one off, four off, five off.
    found = evaluate(wrapped(Reader()), pictures([0, 2, 6, 8]), batch_size=3)
    assert found.images == 4
    assert (found.accuracy.top1, found.accuracy.top5) == (0.25, 0.75)
    assert found.images_per_second > 0
    assert found.reference is None
    assert found.agreement is None


@pytest.mark.parametrize("same_preprocessing", [True, False])
def test_a_reference_sees_the_same_pictures(same_preprocessing, wrapped):
    model, reference = wrapped(Reader()), wrapped(Reader(shift=1))
    if not same_preprocessing:
        reference.preprocessing["crop_pct"] = 0.9
    found = evaluate(model, pictures([0, 1, 3, 4]), batch_size=3, reference=reference)
    assert (found.accuracy.top1, found.reference.top1) == (0.5, 0.5)
    assert found.agreement == 0
    assert evaluate(model, pictures([0, 1]), reference=model).agreement == 1


def test_pictures_are_read_once_for_preprocessing_from_a_file(wrapped):
    model, reference = wrapped(Reader()), wrapped(Reader())
    read = json.loads(json.dumps(reference.preprocessing))
    assert read != reference.preprocessing
    assert replace(reference, preprocessing=read).preprocesses_like(model)
    assert not replace(reference, preprocessing=read | {"crop_pct": 0.9}).preprocesses_like(model)


def test_pictures_without_a_label_are_left_out(wrapped):
    found = evaluate(wrapped(Reader()), pictures([0, -1, 2, -1, -1]), batch_size=2)
    assert (found.images, found.accuracy.top1) == (2, 1.0)


def test_no_label_at_all(wrapped):
    with pytest.raises(UserError, match="--data: no image of colors has a label"):
        evaluate(wrapped(Reader()), pictures([-1, -1]))


def test_fewer_than_five_classes(wrapped):
    class Three(Reader):
        def forward(self, images):
            return super().forward(images)[:, :3]

    found = evaluate(wrapped(Three()), pictures([0, 2, 1]), batch_size=2)
    assert found.accuracy.top5 == 1


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_broken_logits_are_wrong_and_counted(value, wrapped):
    class Broken(Reader):
        """Right but for an element of the second picture that is no finite number."""

        def forward(self, images):
            logits = super().forward(images)
            red = ((images[:, 0, 0, 0] * 0.5 + 0.5) * 255).round().long()
            logits[red == 1, 5] = value
            return logits

    broken = wrapped(Broken())
    found = evaluate(broken, pictures([0, 1, 2, 3]), batch_size=2, reference=broken)
    assert (found.accuracy.top1, found.accuracy.top5, found.accuracy.not_finite) == (0.75, 0.75, 1)
    assert found.reference == found.accuracy
    assert found.agreement == 0.75
