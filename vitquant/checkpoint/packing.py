"""Integers of a few bits, packed into bytes.

Whole bit widths form a little-endian bit stream: integer i, in two's complement, occupies bits
i*b to (i+1)*b - 1, and bit k lies in byte k // 8 at weight 2**(k % 8). So 4 bits are two a byte
(low half first), 3 bits eight in three bytes, 2 bits four a byte. Ternary values are five a byte in
base 3: a byte holds sum((v_j + 1) * 3**j) for j = 0..4. A last incomplete byte is filled with zero
bits, or with the digit 0.
"""

import numpy as np
import torch
from torch import Tensor

from vitquant.quantization.quantizers.grid import Grid

_POWERS = 3 ** np.arange(5, dtype=np.uint8)


def packed_bytes(count: int, grid: Grid) -> int:
    """How many bytes ``count`` integers take."""
    return -(-count // 5) if grid.ternary else -(-count * int(grid.bits) // 8)


def pack(codes: Tensor, grid: Grid) -> Tensor:
    """int8 integers of any shape → uint8 (bytes,), in the order of the flattened tensor."""
    flat = codes.detach().cpu().contiguous().view(-1).numpy()
    if grid.ternary:
        digits = np.zeros(packed_bytes(flat.size, grid) * 5, dtype=np.uint8)
        digits[: flat.size] = flat + 1
        return torch.from_numpy((digits.reshape(-1, 5) * _POWERS).sum(1, dtype=np.uint8))
    bits = int(grid.bits)
    stream = (flat.view(np.uint8)[:, None] >> np.arange(bits, dtype=np.uint8)) & 1
    return torch.from_numpy(np.packbits(stream.reshape(-1), bitorder="little"))


def unpack(data: Tensor, shape: tuple[int, ...], grid: Grid) -> Tensor:
    """The inverse of :func:`pack`: int8 of ``shape``.

    Raises:
        ValueError: ``data`` has not as many bytes as ``shape`` takes.
    """
    count = int(np.prod(shape))
    raw = data.detach().cpu().numpy()
    if raw.dtype != np.uint8 or raw.shape != (packed_bytes(count, grid),):
        raise ValueError(f"{raw.shape} {raw.dtype} cannot hold {shape} at {grid.bits} bits")
    if grid.ternary:
        digits = (raw[:, None] // _POWERS) % 3
        values = digits.reshape(-1)[:count].astype(np.int8) - 1
        return torch.from_numpy(values).view(shape)
    bits = int(grid.bits)
    stream = np.unpackbits(raw, count=count * bits, bitorder="little").reshape(count, bits)
    unsigned = (stream << np.arange(bits, dtype=np.uint8)).sum(1, dtype=np.uint8)
    # Shifting up and arithmetically down again spreads the sign bit.
    return torch.from_numpy((unsigned << (8 - bits)).view(np.int8) >> (8 - bits)).view(shape)
