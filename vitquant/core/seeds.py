"""Noise to draw from, the same whatever else is drawn beside it."""

import hashlib

import torch
from torch import Tensor


def seed_of(*parts: int | str) -> int:
    """A seed for what ``parts`` name, 0 to 2**63 - 1."""
    text = "/".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def noise(shape: tuple[int, ...], seed: int) -> Tensor:
    """Standard normal float32, on the CPU so that every device draws from the same."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
