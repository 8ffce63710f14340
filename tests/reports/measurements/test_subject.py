"""Blocks, and bases in which features can be compared."""

import pytest
import torch

from vitquant.core.progress import Silent
from vitquant.reports.measurements.images.looking import FeatureListener, look
from vitquant.reports.measurements.subject import make_subject
from vitquant.reports.measurements.tensors.block_errors import FeatureSums


@pytest.mark.parametrize(("family", "count"), [("vit", 2), ("swin", 4), ("eva02", 2)])
def test_blocks_are_found_without_a_float_model(make_small, subject_of, family, count):
    subject = subject_of(make_small(family), with_reference=False)
    assert len(subject.blocks) == count
    assert subject.block_of(f"{subject.blocks[0]}.mlp.fc1") == subject.blocks[0]
    assert subject.block_of("head") == ""


def test_a_rotated_model_is_compared_in_its_own_basis(make_small, subject_of, images):
    subject = subject_of(make_small("vit"), bits="w8a8", rotate=True)
    assert subject.same_basis
    sums = FeatureSums(2)
    look(subject, images, 4, FeatureListener(4, sums.add, lambda e: None), Silent(), "cpu")
    assert all(block.relative_error < 0.1 for block in sums.result(subject.blocks).blocks)


def test_another_basis_is_noticed(make_small, subject_of):
    subject = subject_of(make_small("vit"), bits="w8a8", rotate=True)
    subject.header.settings["seed"] = 1
    other = make_subject(subject.checkpoint, subject.model, make_small("vit"))
    assert not other.same_basis


def test_a_rotated_float_model_predicts_the_same(make_small, subject_of, batch):
    subject = subject_of(make_small("vit"), bits="w8a8", rotate=True)
    with torch.no_grad():
        expected, found = make_small("vit")(batch), subject.reference(batch)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
