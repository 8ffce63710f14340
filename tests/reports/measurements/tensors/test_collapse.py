"""A model with one quantizer out of order is found out."""

import pytest
import torch

from vitquant.core.progress import Silent
from vitquant.data.loader import load_batches
from vitquant.evaluation.agreement import Fidelity, least_agreement
from vitquant.reports.measurements.tensors.collapse import find_collapse

COLLAPSED = Fidelity(40, 0.1, None, least_agreement(10))


@pytest.fixture
def batch_of(some_digits):
    """batch_of(model) → the digits as it sees them."""
    return lambda model: next(load_batches(some_digits, range(32), model.transform(), 32))[0]


@pytest.mark.parametrize(
    ("layer", "place", "tensor"),
    [
        ("blocks.2.mlp.fc1", "input", "input"),
        ("blocks.1.attn.products.1", "right", "right operand"),
        ("blocks.0.attn.products.0", "left", "left operand"),
    ],
)
def test_a_scale_that_is_far_too_large(digits_subject, batch_of, layer, place, tensor):
    subject = digits_subject()
    quantizer = getattr(subject.model.module.get_submodule(layer), place)
    quantizer.scale.mul_(32)
    found = find_collapse(subject, batch_of(subject.model), COLLAPSED, Silent())
    worst = max(found.tensors, key=lambda t: t.relative_error)
    assert (worst.name, worst.tensor) == (layer, tensor)
    others = [t.relative_error for t in found.tensors if (t.name, t.tensor) != (layer, tensor)]
    assert max(others) < 0.5 * worst.relative_error
    assert found.measure == "agreement"
    assert (found.value, found.limit, found.images) == (0.1, pytest.approx(0.28), 40)


def test_the_block_is_the_first_that_float_layers_cannot_read(digits_subject, batch_of):
    subject = digits_subject()
    layer = subject.model.module.get_submodule("blocks.1.mlp.fc2")
    layer.bias.copy_(1e4 * (torch.arange(len(layer.bias)) % 7))  # swamps what the tokens say
    layer.input.scale.mul_(8)
    found = find_collapse(subject, batch_of(subject.model), COLLAPSED, Silent())
    assert found.block == "blocks.1"
    assert (found.tensor.name, found.tensor.tensor) == ("blocks.1.mlp.fc2", "input")
    assert "behind blocks.0, 100% of its predictions are left" in found.how


def test_a_head_that_is_lost_is_in_no_block(digits_subject, batch_of):
    subject = digits_subject()
    subject.model.module.head.input.scale.mul_(1e-5)
    found = find_collapse(subject, batch_of(subject.model), COLLAPSED, Silent())
    assert found.block is None
    assert (found.tensor.name, found.tensor.tensor) == ("head", "input")


def test_weights_count_as_the_checkpoint_says(digits_subject, batch_of):
    subject = digits_subject("w2a8")
    found = find_collapse(subject, batch_of(subject.model), COLLAPSED, Silent())
    weights = {t.name: t for t in found.tensors if t.tensor == "weight"}
    record = subject.header.layers[3]
    expected = 10 ** (-record.sqnr_db / 20)
    assert weights[record.name].relative_error == pytest.approx(expected)
    assert len(weights) == len(subject.header.layers)


def test_nothing_is_said_without_a_float_model(digits_subject):
    subject = digits_subject(with_reference=False)
    assert find_collapse(subject, torch.zeros(1, 3, 32, 32), COLLAPSED, Silent()) is None
