"""From a quantized model to one file."""

from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from vitquant.checkpoint.header import KEY, Header
from vitquant.checkpoint.packing import pack
from vitquant.core.files import write_whole
from vitquant.core.hashing import sha256
from vitquant.quantization.layers.base import IntLayer, is_float_remainder


def write_checkpoint(path: Path, module: nn.Module, header: Header) -> int:
    """Write a finished model; returns the size of the file in bytes.

    Raises:
        UserError: the file cannot be written.
    """
    data = checkpoint_bytes(module, header)
    write_whole(path, data)
    return len(data)


def checkpoint_bytes(module: nn.Module, header: Header) -> bytes:
    """What the file of a finished model holds."""
    tensors = stored_tensors(module)
    header = replace(header, content_sha256=sha256(tensors))
    # One key alone: safetensors writes several in random order, and equal models, equal files.
    return save(tensors, metadata={KEY: header.dump()})


def stored_tensors(module: nn.Module) -> dict[str, Tensor]:
    """The tensors of a finished model as the file holds them."""
    packed = {
        f"{name}.codes": pack(layer.codes, layer.grid)
        for name, layer in module.named_modules()
        if isinstance(layer, IntLayer)
    }
    return {
        name: packed[name] if name in packed else _compact(name, tensor)
        for name, tensor in module.state_dict().items()
    }


def _compact(name: str, tensor: Tensor) -> Tensor:
    # A copy: safetensors refuses tensors that share memory, as those of a module in two places.
    tensor = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    return tensor.half() if is_float_remainder(name, tensor) else tensor
