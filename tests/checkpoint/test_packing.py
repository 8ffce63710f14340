"""The bytes of packed integers, by hand and round trip."""

import pytest
import torch

from vitquant.checkpoint.packing import pack, packed_bytes, unpack
from vitquant.quantization.quantizers.grid import weight_grid

WIDTHS = (1.58, 2, 3, 4, 5, 6, 7, 8)
BY_HAND = [
    # Two a byte, the low half first; -1 is 0b1111 and -8 is 0b1000.
    (4, [1, 2, -1, -8], [0x21, 0x8F]),
    (4, [7], [0x07]),
    # Eight in three bytes: 1 | 2 << 3 | 3 << 6 | -4 << 9 | -1 << 12 | 0 << 15 | 1 << 18 | -2 << 21.
    (3, [1, 2, 3, -4, -1, 0, 1, -2], [0b11010001, 0b01111000, 0b11000100]),
    # Four a byte, the lowest pair of bits first.
    (2, [1, -1, -2, 0], [0b00101101]),
    # Five a byte: (v + 1) are digits in base 3, the lowest first.
    (1.58, [1, 1, 1, 1, 1], [242]),
    (1.58, [-1, 0, 1, -1, 0], [0 + 1 * 3 + 2 * 9 + 0 * 27 + 1 * 81]),
    (1.58, [-1, -1, -1, -1, -1, 1], [0, 2]),
    (8, [-128, 127, -1], [0x80, 0x7F, 0xFF]),
    (6, [1, -1, 0, -32], [0b11000001, 0b00001111, 0b10000000]),
]


@pytest.mark.parametrize(("bits", "values", "expected"), BY_HAND)
def test_the_documented_layout(bits, values, expected):
    packed = pack(torch.tensor(values, dtype=torch.int8), weight_grid(bits))
    assert packed.dtype == torch.uint8
    assert packed.tolist() == expected


@pytest.mark.parametrize("bits", WIDTHS)
def test_any_number_of_integers_comes_back(bits):
    grid = weight_grid(bits)
    generator = torch.Generator().manual_seed(0)
    for count in (*range(1, 42), 1000, 1001):
        shape = (count,) if count % 2 else (2, count // 2)
        codes = torch.randint(grid.qmin, grid.qmax + 1, shape, generator=generator).to(torch.int8)
        packed = pack(codes, grid)
        assert len(packed) == packed_bytes(count, grid)
        assert torch.equal(unpack(packed, shape, grid), codes)


@pytest.mark.parametrize("bits", WIDTHS)
def test_the_ends_of_the_grid_come_back_from_any_layout(bits):
    grid = weight_grid(bits)
    codes = torch.tensor([grid.qmin, grid.qmax, 0, grid.qmax, grid.qmin] * 6, dtype=torch.int8)
    transposed = codes.view(5, 3, 2).mT
    assert torch.equal(unpack(pack(transposed, grid), (5, 2, 3), grid), transposed)


@pytest.mark.parametrize(
    ("bits", "count", "size"),
    [(4, 9, 5), (3, 8, 3), (3, 9, 4), (2, 9, 3), (1.58, 11, 3), (8, 9, 9)],
)
def test_sizes(bits, count, size):
    assert packed_bytes(count, weight_grid(bits)) == size


@pytest.mark.parametrize("bits", WIDTHS)
def test_a_wrong_number_of_bytes_is_refused(bits):
    grid = weight_grid(bits)
    size = packed_bytes(20, grid)
    for bad in (torch.zeros(size + 1, dtype=torch.uint8), torch.zeros(size, dtype=torch.int8)):
        with pytest.raises(ValueError, match="cannot hold"):
            unpack(bad, (4, 5), grid)
