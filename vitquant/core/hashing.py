"""A hash that tells two sets of weights apart."""

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
