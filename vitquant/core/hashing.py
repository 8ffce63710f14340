"""Hashes of tensors, and seeds and noise that depend on names, not on what else is in a batch."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def sha256(tensors: Mapping[str, Tensor]) -> str:
    """Hex SHA-256 over names, types, shapes and values of ``tensors``, in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def rounded_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Of the values rounded to bfloat16: the same whether they were loaded in it or in float32."""
    rounded = {k: v.bfloat16() if v.is_floating_point() else v for k, v in tensors.items()}
    return sha256(rounded)


def seed_of(*parts: int | str) -> int:
    """A seed for what ``parts`` name, 0 to 2**63 - 1."""
    text = "/".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def noise(shape: tuple[int, ...], seed: int) -> Tensor:
    """Standard normal float32, generated on the CPU so that it is the same for every device."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
