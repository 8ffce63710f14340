import math

import pytest
import torch
from torch import nn

from vitquant.quantization.training.features import Outputs, capture_features
from vitquant.quantization.training.losses import feature_loss, logit_loss


def outputs(*features, logits=((0.0, 0.0),)):
    return Outputs([torch.tensor(f) for f in features], torch.tensor(logits))


def test_feature_loss_is_relative_to_the_float_energy_and_mean_over_blocks():
    teacher = outputs([[2.0, 0.0]], [[10.0, 10.0]])
    student = outputs([[2.0, 1.0]], [[10.0, 10.0]])
    assert feature_loss(student, teacher).item() == pytest.approx((1 / 4 + 0) / 2)


def test_every_image_counts_alike_however_large_its_features():
    teacher = outputs([[2.0, 0.0], [100.0, 100.0]])
    student = outputs([[2.0, 1.0], [100.0, 100.0]])
    assert feature_loss(student, teacher).item() == pytest.approx((1 / 4 + 0) / 2)


def test_a_model_without_blocks_has_no_feature_loss():
    assert feature_loss(outputs(), outputs()).item() == 0.0


def test_logit_loss_is_the_divergence_from_the_float_distribution():
    teacher = outputs(logits=((math.log(3.0), 0.0),))  # probabilities 3/4 and 1/4
    student = outputs(logits=((0.0, 0.0),))
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert logit_loss(student, teacher, classifies=True).item() == pytest.approx(expected)
    assert logit_loss(teacher, teacher, classifies=True).item() == pytest.approx(0.0, abs=1e-7)


def test_an_embedding_is_compared_by_value_not_as_a_distribution():
    teacher, student = outputs(logits=((3.0, 4.0),)), outputs(logits=((4.0, 5.0),))
    assert logit_loss(student, teacher, classifies=False).item() == pytest.approx(2 / 25)


def test_watched_returns_the_blocks_in_order_and_leaves_no_hook():
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
    x = torch.ones(1, 2)
    with capture_features(module, ["1", "0"]) as run:
        found = run(x)
    assert [f.shape[-1] for f in found.features] == [4, 3]
    assert torch.equal(found.logits, module(x))
    assert not any(m._forward_hooks for m in module.modules())
