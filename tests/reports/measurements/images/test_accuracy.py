"""Intervals and tests against published values, and the figures of two models."""

import pytest
import torch

from vitquant.evaluation.output_error import ErrorSums
from vitquant.reports.measurements.images.accuracy import accuracy, mcnemar, paired, wilson
from vitquant.reports.measurements.images.looking import Answers, Looked


def test_wilson_is_the_published_interval():
    # Newcombe (1998), Statistics in Medicine 17:857: 81 of 263, and 0 of 20.
    found = wilson(81, 263)
    assert [found.low, found.high] == pytest.approx([0.2553, 0.3662], abs=1e-4)
    found = wilson(0, 20)
    assert (found.low, found.high) == (0, pytest.approx(0.1611, abs=1e-4))


def test_mcnemar_is_the_binomial_test():
    assert mcnemar(1, 9) == pytest.approx(22 / 1024)
    assert mcnemar(5, 5) == mcnemar(0, 0) == 1


def test_paired_differences():
    found = paired(0, 0, 100)
    assert found.estimate == 0
    assert found.low == -found.high < 0
    found = paired(2, 12, 100)
    assert found.estimate == pytest.approx(-0.1)
    assert found.low < -0.1 < found.high < 0
    assert found.high - found.low < wilson(50, 100).high - wilson(50, 100).low


def answers(*best, broken=()) -> Answers:
    finite = torch.tensor([i not in broken for i in range(len(best))])
    return Answers(torch.tensor(best), torch.full((len(best),), 0.5), finite)


def test_only_labeled_images_have_an_accuracy():
    labels = torch.tensor([0, 1, -1, 1])
    own = answers([0, 1], [0, 1], [1, 0], [1, 0], broken={3})
    true = answers([0, 1], [1, 0], [0, 1], [1, 0])
    found = accuracy("SOURCE", Looked(labels, own, true, None, (1, 0)))
    assert (found.images, found.labeled) == (4, 3)
    assert found.quantized.top1.estimate == pytest.approx(1 / 3)
    assert found.quantized.top5 == pytest.approx(2 / 3)
    assert found.quantized.not_finite == 1
    assert found.reference.top1.estimate == 1
    assert (found.only_reference_right, found.only_quantized_right) == (2, 0)
    assert found.difference.estimate == pytest.approx(-2 / 3)
    assert found.agreement.estimate == pytest.approx(1 / 4)


def test_without_labels_there_is_agreement():
    labels = torch.tensor([-1, -1])
    own = answers([0, 1], [0, 1])
    found = accuracy("SOURCE", Looked(labels, own, own, None, (0, 0)))
    assert found.quantized.top1 is found.difference is found.p_value is None
    assert found.agreement.estimate == 1
    found = accuracy("SOURCE", Looked(labels, own, None, None, (0, 0)))
    assert found.reference is found.agreement is None


def test_without_classes_there_are_errors():
    errors = ErrorSums()
    errors.add(torch.ones(2, 3), torch.ones(2, 3))
    found = accuracy("SOURCE", Looked(torch.tensor([-1, -1]), None, None, errors, (0, 0)))
    assert found.cosine == pytest.approx(1)
    assert found.relative_error == 0
    assert found.reference is not None
