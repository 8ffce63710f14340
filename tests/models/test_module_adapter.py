"""What counts of what a network returns."""

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from vitquant.core.errors import UserError
from vitquant.models.module_adapter import ModuleAdapter, joined

A, B = torch.arange(6.0).view(2, 3), torch.arange(16.0).view(2, 2, 2, 2)


@dataclass
class Detected:
    """As some libraries return it."""

    boxes: Tensor
    scores: Tensor | None = None


@pytest.mark.parametrize(
    "returned",
    [
        [A, B],
        (A, [B]),
        {"a": A, "b": B, "none": None, "ids": torch.tensor([1, 2])},
        namedtuple("Pair", "a b")(A, B),
        Detected(A, B),
        {"all": Detected(A, B)},
    ],
)
def test_several_tensors_are_joined_image_by_image(returned):
    output = joined(returned)
    assert torch.equal(output, torch.cat([A, B.flatten(1)], 1))
    # A squared error of the whole is that of the parts.
    error = (output - 1).square().sum(1)
    parts = (A - 1).square().sum(1) + (B - 1).square().flatten(1).sum(1)
    assert torch.equal(error, parts)


@pytest.mark.parametrize("returned", [B, [B], {"out": B}, Detected(B)])
def test_one_tensor_keeps_its_shape(returned):
    assert joined(returned) is B


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ({}, "a dict without any"),
        (None, "a NoneType without any"),
        ([A, torch.zeros(3, 2)], r"\(2, 3\), \(3, 2\)"),
        ([torch.tensor(1.0), A], r"\(\), \(2, 3\)"),
    ],
)
def test_what_has_no_row_for_each_image_is_refused(returned, words):
    with pytest.raises(UserError, match=rf"^output: the network returns {words}.*output="):
        joined(returned)


def test_a_function_picks():
    assert ModuleAdapter(output=lambda returned: returned["b"]).output({"a": A, "b": B}) is B
