"""Errors of features, in the whole network and of each block by itself."""

import math

import pytest
import torch

from vitquant.core.progress import Silent
from vitquant.quantization.training.features import Outputs
from vitquant.reports.measurements.images.looking import FeatureListener, look
from vitquant.reports.measurements.tensors.block_errors import FeatureSums


def outputs(*features) -> Outputs:
    return Outputs(list(features), torch.zeros(len(features[0]), 3))


def test_errors_are_those_of_the_definition():
    expected = torch.tensor([[3.0, 4.0], [0.0, 5.0]])
    sums = FeatureSums(1)
    sums.add(outputs(expected), outputs(0 * expected), outputs(2 * expected))
    found = sums.result(("block",))
    assert found.images == 2
    (block,) = found.blocks
    assert block.relative_error == pytest.approx(1)
    assert block.cosine == 0
    assert block.own_relative_error == pytest.approx(1)
    assert block.own_cosine == pytest.approx(1)


def test_what_is_not_finite_is_infinite():
    expected = torch.ones(1, 2)
    sums = FeatureSums(1)
    sums.add(outputs(expected), outputs(expected * math.nan), outputs(expected))
    assert sums.result(("block",)).blocks[0].relative_error == math.inf


@pytest.mark.parametrize("family", ["vit", "swin", "beit"])
def test_a_damaged_block_is_where_the_own_error_is(make_small, subject_of, images, family):
    subject = subject_of(make_small(family), bits="w8a8")
    broken = subject.blocks[1]
    with torch.no_grad():
        for name, buffer in subject.model.module.named_buffers():
            if name.startswith(f"{broken}.") and name.endswith(".scale") and "input" not in name:
                buffer.mul_(0.5)
    sums = FeatureSums(len(subject.blocks))
    listener = FeatureListener(4, sums.add, lambda entered: None)
    look(subject, images, 4, listener, Silent(), "cpu")
    blocks = sums.result(subject.blocks).blocks
    own = {block.name: block.own_relative_error for block in blocks}
    assert max(own, key=own.get) == broken
    assert all(e < own[broken] / 3 for name, e in own.items() if name != broken)
    assert blocks[0].relative_error == pytest.approx(blocks[0].own_relative_error)
    # What follows inherits the error.
    assert blocks[2 if len(blocks) > 2 else 1].relative_error > 2 * blocks[0].relative_error
