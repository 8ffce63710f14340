"""Integers are packed as ONNX has it."""

import onnx
import pytest
import torch

from vitquant.errors import UserError
from vitquant.exporters.onnx.graph import (
    CONTAINERS,
    INT2,
    INT4,
    INT8,
    container_for,
    get_container,
    integers,
)
from vitquant.quantizers.grid import weight_grid


@pytest.mark.parametrize("name", CONTAINERS)
def test_onnx_reads_what_was_packed(name):
    container = CONTAINERS[name]
    half = 2 ** (container.bits - 1)
    codes = torch.arange(-half, half, dtype=torch.int8).repeat(3)[:-1].view(1, -1)
    read = onnx.numpy_helper.to_array(integers("codes", codes, container))
    assert (read.astype("int8") == codes.numpy()).all()


@pytest.mark.parametrize(
    ("bits", "narrowest", "expected"),
    [
        (1.58, INT2, INT2), (2, INT2, INT2), (3, INT2, INT4), (4, INT2, INT4), (5, INT2, INT8),
        (8, INT2, INT8), (1.58, INT4, INT4), (4, INT4, INT4), (5, INT4, INT8), (2, INT8, INT8),
    ],
)  # fmt: skip
def test_the_smallest_that_holds_a_grid(bits, narrowest, expected):
    assert container_for(weight_grid(bits), narrowest) is expected


def test_an_unknown_one():
    with pytest.raises(UserError, match="--container: 'int3' is not one of int2, int4, int8"):
        get_container("int3")
