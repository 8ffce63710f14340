"""Integers are packed as ONNX has it."""

import onnx
import pytest
import torch

from vitquant.core.errors import UserError
from vitquant.exporters.onnx.graph import (
    INT2,
    INT4,
    INT8,
    WEIGHT_TYPES,
    get_weight_type,
    int_tensor,
    smallest_type,
)
from vitquant.quantization.quantizers.grid import weight_grid


@pytest.mark.parametrize("name", WEIGHT_TYPES)
def test_onnx_reads_what_was_packed(name):
    int_type = WEIGHT_TYPES[name]
    half = 2 ** (int_type.bits - 1)
    codes = torch.arange(-half, half, dtype=torch.int8).repeat(3)[:-1].view(1, -1)
    read = onnx.numpy_helper.to_array(int_tensor("codes", codes, int_type))
    assert (read.astype("int8") == codes.numpy()).all()


@pytest.mark.parametrize(
    ("bits", "min_weight_type", "expected"),
    [
        (1.58, INT2, INT2), (2, INT2, INT2), (3, INT2, INT4), (4, INT2, INT4), (5, INT2, INT8),
        (8, INT2, INT8), (1.58, INT4, INT4), (4, INT4, INT4), (5, INT4, INT8), (2, INT8, INT8),
    ],
)  # fmt: skip
def test_the_smallest_that_holds_a_grid(bits, min_weight_type, expected):
    assert smallest_type(weight_grid(bits), min_weight_type) is expected


def test_an_unknown_one():
    with pytest.raises(UserError, match="--weight-type: 'int3' is not one of int2, int4, int8"):
        get_weight_type("int3")
