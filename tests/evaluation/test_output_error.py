"""The distance of outputs, whatever their shape and however they are batched."""

import math

import pytest
import torch
import torch.nn.functional as F

from vitquant.evaluation.output_error import ErrorSums, finite_or_none


def error(found, expected, size=2):
    sums = ErrorSums()
    for batch in zip(found.split(size), expected.split(size), strict=True):
        sums.add(*batch)
    sums.all_reduce()
    return sums.result()


@pytest.mark.parametrize("shape", [(6,), (5, 6), (1, 4, 4)])
@pytest.mark.parametrize("size", [1, 3, 7])
def test_figures_of_any_shape_and_batch(shape, size):
    torch.manual_seed(0)
    expected = torch.randn(7, *shape) + 3
    found = expected + 0.1 * torch.randn(7, *shape)
    result = error(found, expected, size)
    rms = (found - expected).square().mean().sqrt()
    assert result.relative_error == pytest.approx(float(rms / expected.std()), rel=1e-5)
    assert result.mean_absolute_error == pytest.approx(float((found - expected).abs().mean()))
    cosine = F.cosine_similarity(found.flatten(1), expected.flatten(1)).mean()
    assert result.cosine == pytest.approx(float(cosine))
    assert result.not_finite == 0


def test_the_same_outputs():
    for outputs in (torch.randn(4, 3), torch.full((4, 1), 0.1), torch.zeros(1, 1)):
        result = error(outputs, outputs)
        assert (result.relative_error, result.mean_absolute_error) == (0, 0)


def test_outputs_that_are_all_the_same_are_measured_by_their_size():
    assert error(torch.full((3, 2), 1.1), torch.ones(3, 2)).relative_error == pytest.approx(0.1)
    assert error(torch.tensor([[3.0]]), torch.tensor([[2.0]])).relative_error == 0.5
    assert error(torch.ones(3, 2), torch.zeros(3, 2)).relative_error == math.inf


def test_a_cosine_of_one_number_says_nothing():
    assert error(torch.ones(3, 1), torch.ones(3, 1)).cosine is None
    assert error(torch.ones(3), torch.ones(3)).cosine is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("sides", ["found", "expected", "both"])
def test_outputs_that_are_not_finite(value, sides):
    good = torch.tensor([[1.0, 2], [3, 4], [5, 6], [7, 8]])
    broken = good.clone()
    broken[1, 0] = value
    found, expected = (
        broken if sides in (side, "both") else good for side in ("found", "expected")
    )
    result = error(found, expected)
    assert result.not_finite == 1
    assert result.cosine == pytest.approx(0.75)
    assert result.relative_error == result.mean_absolute_error == math.inf
    assert finite_or_none(result.relative_error) is None


def test_large_numbers_do_not_overflow():
    outputs = torch.full((2, 3), 3e38) * torch.tensor([[1.0], [-1.0]])
    result = error(outputs, outputs)
    assert (result.cosine, result.relative_error) == (pytest.approx(1), 0)
