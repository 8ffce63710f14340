"""What is said of a float model beside its name."""

from pathlib import Path

import pytest

from vitquant.config.values import format_input_size, parse_input_size
from vitquant.core.errors import UserError
from vitquant.models.float_options import FloatOptions


@pytest.mark.parametrize(
    ("given", "size"),
    [(384, (384, 384)), ("384", (384, 384)), ("384x288", (384, 288)), ("64X32", (64, 32)),
     ((32, 64), (32, 64)), ([32, 64], (32, 64)), (" 32 ", (32, 32))],
)  # fmt: skip
def test_sizes(given, size):
    assert parse_input_size(given) == size
    assert FloatOptions.build(input_size=given) == (None, None, size)
    assert parse_input_size(format_input_size(*size)) == size


@pytest.mark.parametrize(
    "given",
    [0, 4097, -1, True, "", "x", "3x", "1x2x3", "0x3", "1.5", (1, 2, 3), (), ("a", 1), "９"],
)
def test_no_sizes(given):
    with pytest.raises(UserError, match=r"--input-size: .* is not N or HxW in pixels, such as 384"):
        FloatOptions.build(input_size=given)


def test_the_others():
    assert FloatOptions.build("a.safetensors", 0) == (Path("a.safetensors"), 0, None)
    with pytest.raises(UserError, match="--num-classes: -1 is not 0 or more"):
        FloatOptions.build(num_classes=-1)
