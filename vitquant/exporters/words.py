"""Integers of a few bits in 32-bit words, as compressed-tensors' ``pack-quantized`` has them.

Each row is a little-endian bit stream of its own, of integers made positive by adding half their
range, filled with zero bits to whole words. Widths that do not divide 32 straddle words: so do
releases of compressed-tensors from 0.18 on.
"""

import numpy as np
import torch
from torch import Tensor


def pack_words(codes: Tensor, bits: int) -> Tensor:
    """int8 (rows, columns) of ``bits`` bits in two's complement → int32 (rows, words)."""
    rows, columns = codes.shape
    positive = (codes.to(torch.int16) + (1 << (bits - 1))).numpy().astype(np.uint8)
    stream = (positive[:, :, None] >> np.arange(bits, dtype=np.uint8)) & 1
    words = -(-columns * bits // 32)
    padded = np.zeros((rows, words * 32), dtype=np.uint8)
    padded[:, : columns * bits] = stream.reshape(rows, -1)
    packed = np.packbits(padded, axis=1, bitorder="little")
    return torch.from_numpy(packed.view("<i4").astype(np.int32))
