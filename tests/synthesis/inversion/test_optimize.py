"""Images optimized through a float model."""

import pytest
import torch

from vitquant.config.naming import OPTIONS
from vitquant.config.synthesize import InversionSettings
from vitquant.core.errors import UserError
from vitquant.quantization.graph.points import example_inputs, find_points
from vitquant.synthesis.inversion.optimize import Subject, invert, total_variation


@pytest.fixture
def make(model):
    """make(numbers, targets, iterations, ...) → images of digits, uint8."""
    model.module.requires_grad_(False)
    points = find_points(model.module, example_inputs(model.input_size))
    subject = Subject(model, list(points.attentions), points.blocks[0])

    def run(numbers, targets, iterations=3, on_step=lambda done, status: None, **changes):
        settings = InversionSettings.build(iterations=iterations, precision="float32", **changes)
        return invert(subject, numbers, targets, settings, on_step=on_step)

    return run


def probabilities(model, pixels, targets):
    mean, std = (torch.tensor(model.preprocessing[k]).view(-1, 1, 1) for k in ("mean", "std"))
    scores = model.module((pixels.float() / 255 - mean) / std).softmax(-1)
    return scores[range(len(targets)), targets]


def test_the_model_classifies_them_correctly(make, model):
    targets = [0, 8]  # which look the same in a mirror
    pixels = make([0, 1], targets, iterations=40, crops=False)
    assert pixels.dtype == torch.uint8
    assert pixels.shape == (2, *model.input_size)
    assert probabilities(model, pixels, targets).min() > 0.3


def test_an_image_does_not_depend_on_those_beside_it(make):
    together, alone = make([4, 5], [1, 2]), make([5], [2])
    # Adam divides small gradients by their own size: rounding shows, no more than that.
    off = (together[1].float() - alone[0].float()).abs()
    assert off.median() <= 1
    assert off.mean() < 4


def test_the_order_and_the_size_of_the_batch_do_not_matter(make):
    numbers, targets = [0, 1, 2], [3, 1, 2]
    one_by_one, together = make(numbers, targets, batch_size=1), make(numbers, targets)
    off = (one_by_one.float() - together.float()).abs()
    assert off.median() <= 1
    assert off.mean() < 4


def test_what_is_recognized_makes_room_for_the_next(make):
    seen = []
    early = {"confidence": 0.01, "patience": 2, "iterations": 50}
    numbers, targets = [0, 1, 2, 3, 4], [3, 0, 1, 0, 8]
    pixels = make(numbers, targets, batch_size=2, on_step=lambda *x: seen.append(x[0]), **early)
    assert sum(seen) == 5 * 50  # what was not needed counts as done
    assert len(seen) < 60  # of 150
    alone = torch.cat([make([n], [t], **early) for n, t in zip(numbers, targets, strict=True)])
    off = (pixels.float() - alone.float()).abs()
    assert off.median() <= 1
    assert off.mean() < 4


def test_patience_waits(make):
    seen = []
    quick = {"confidence": 1e-9, "iterations": 9, "on_step": lambda *x: seen.append(x[0])}
    make([0], [1], patience=4, **quick)
    assert seen == [1, 1, 1, 1 + 5]


def test_patches_are_left_out(make):
    assert not torch.equal(make([0], [1], patch_drop=0.5), make([0], [1], patch_drop=0.0))


def test_seed_and_number_tell_images_apart(make):
    assert torch.equal(make([0], [1]), make([0], [1]))
    assert not torch.equal(make([0], [1]), make([1], [1]))
    assert not torch.equal(make([0], [1]), make([0], [1], seed=1))


def test_the_schedule_makes_a_difference(make):
    assert not torch.equal(make([0], [1]), make([0], [1], crops=False))


def test_the_total_variation_is_what_is_aimed_at(make, model):
    pixels = make([0], [1], iterations=30, tv_target=0.1, ce_weight=0, entropy_weight=0)
    std = torch.tensor(model.preprocessing["std"]).view(-1, 1, 1)
    assert total_variation(pixels.float() / 255 / std).item() == pytest.approx(0.1, abs=0.05)


def test_total_variation_of_stripes():
    stripes = torch.zeros(1, 1, 6, 6)
    stripes[..., ::2, :] = 1
    assert total_variation(stripes).item() == pytest.approx(3 / 4)  # along the stripes 0, else 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"samples": 0}, "--samples: 0 is not 1 or more"),
        ({"iterations": 0}, "--iterations: 0 is not 1 or more"),
        ({"lr_cycles": 0}, "--lr-cycles: 0 is not 1 or more"),
        ({"min_crop": 0.0}, "--min-crop: 0.0 is not above 0"),
        ({"min_crop": 1.5}, "--min-crop: 1.5"),
        ({"lr": float("nan")}, "--lr: nan is not"),
        ({"tv_weight": -1.0}, "--tv-weight: -1.0 is not"),
        ({"patch_drop": 1.0}, "--patch-drop: 1.0 is not from 0"),
        ({"confidence": 1.0}, "--confidence: 1.0 is not from 0"),
        ({"confidence": 0.5, "patience": 0}, "--patience: 0 is not 1 or more"),
        ({"precision": "int8"}, "--precision: 'int8' is not one"),
        ({"seed": -1}, "--seed: -1"),
    ],
)
def test_settings_that_cannot_be(changes, words):
    with pytest.raises(UserError, match=words):
        InversionSettings.build(naming=OPTIONS, **changes)
