"""Seeds and noise that depend on names, not on what else is in a batch."""

import hashlib

import torch
from torch import Tensor


def seed_of(*parts: int | str) -> int:
    """A seed for what ``parts`` name, 0 to 2**63 - 1."""
    text = "/".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def noise(shape: tuple[int, ...], seed: int) -> Tensor:
    """Standard normal float32, generated on the CPU so that it is the same for every device."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
