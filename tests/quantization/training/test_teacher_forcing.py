import pytest
import torch
from torch import nn

from vitquant.quantization.training.features import (
    TeacherForcing,
    capture_features,
    teacher_forcing_ratio,
)


@pytest.fixture
def blocks():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))


X = torch.tensor([[1.0, -2.0, 0.5]])
TAUGHT = torch.tensor([[3.0, 1.0, -1.0]])


def run(blocks, forcing):
    with capture_features(blocks, ["0", "1"]) as watch:
        return watch(X, forcing)


@pytest.mark.parametrize(
    ("part", "expected"),
    [(0.5, [1, 0.8, 0.6, 0.4, 0.2, 0, 0, 0, 0, 0]), (0.05, [1] + [0] * 9), (0.0, [0] * 10)],
)
def test_the_share_falls_in_even_steps_to_nothing(part, expected, settings):
    chosen = settings("w4a4", "joint", steps=10, teacher_forcing=part)
    assert [teacher_forcing_ratio(step, chosen) for step in range(1, 11)] == pytest.approx(expected)


def test_a_block_is_fed_the_mixture_and_its_own_output_is_what_counts(blocks):
    forcing = TeacherForcing([TAUGHT, TAUGHT], 0.25)
    found = run(blocks, forcing)
    first = blocks[0](X)
    second = blocks[1](0.75 * first + 0.25 * TAUGHT)
    torch.testing.assert_close(found.features, [first, second])
    # What comes behind the last block, such as the head, is fed in the same way.
    torch.testing.assert_close(found.logits, 0.75 * second + 0.25 * TAUGHT)


def test_without_a_share_nothing_changes(blocks):
    expected = blocks(X)
    assert torch.equal(run(blocks, None).logits, expected)
    assert torch.equal(run(blocks, TeacherForcing([TAUGHT, TAUGHT], 0.0)).logits, expected)


@pytest.mark.parametrize("fed", [0.0, 0.25, 1.0])
def test_gradients_cross_as_far_as_features_do(blocks, fed):
    run(blocks, TeacherForcing([TAUGHT, TAUGHT], fed)).features[1].sum().backward()
    # d sum(W1 x + b1) / dx is the sum of W1's rows.
    expected = (1 - fed) * blocks[1].weight.sum(0)
    torch.testing.assert_close(blocks[0].bias.grad, expected.detach())


def test_features_kept_in_another_precision(blocks):
    found = run(blocks, TeacherForcing([TAUGHT.bfloat16()] * 2, 0.5))
    assert found.logits.dtype == torch.float32


def test_a_block_that_returns_several_things():
    class Pair(nn.Module):
        def forward(self, x):
            return 2 * x, "more"

    class Last(nn.Module):
        def forward(self, pair):
            return pair[0]

    with capture_features(nn.Sequential(Pair(), Last()), ["0"]) as watch:
        assert torch.equal(watch(X, TeacherForcing([TAUGHT], 1.0)).logits, TAUGHT)
        assert torch.equal(watch(X).logits, 2 * X)
