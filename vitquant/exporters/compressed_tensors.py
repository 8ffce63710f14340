"""A checkpoint re-written for compressed-tensors: a folder of weights and ``config.json``.

docs/reference/compressed-tensors.md says what such a folder holds, and what it cannot.
"""

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from vitquant.checkpoint.header import LayerRecord
from vitquant.checkpoint.packing import unpack
from vitquant.checkpoint.read import Checkpoint, restore
from vitquant.config.bits import FLOAT_BITS
from vitquant.core.errors import UserError
from vitquant.core.files import check_writable, follow
from vitquant.models.hub_config import hub_config
from vitquant.models.model import Model
from vitquant.quantization.layers.prefix import prefix_correction
from vitquant.quantization.quantizers.grid import activation_grid, weight_grid

WEIGHTS, CONFIG = "model.safetensors", "config.json"
FORMAT = "pack-quantized"
# The first release that packs widths such as 3 bits in this way.
_VERSION = "0.18.0"


def write(checkpoint: Checkpoint, folder: Path, flag: str = "--out") -> int:
    """Write ``folder``, whole or not at all; returns its size in bytes.

    Raises:
        UserError: there is something at ``folder`` already, or it cannot be written.
    """
    check_folder(folder, flag)
    folder = follow(folder)
    _check_bits(checkpoint)
    model = restore(checkpoint)
    config = json.dumps(_config(checkpoint, model), indent=2).encode()
    weights = save(tensors(checkpoint), metadata={"format": "pt"})
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        temporary.mkdir()
        (temporary / WEIGHTS).write_bytes(weights)
        (temporary / CONFIG).write_bytes(config)
        os.replace(temporary, folder)
    except OSError as error:
        raise UserError(
            f"{flag}: {folder} could not be written ({error.strerror or error}); "
            f"{len(weights) + len(config):,} bytes of free space in a writable folder are needed"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return len(weights) + len(config)


def check_folder(folder: Path, flag: str = "--out") -> None:
    """Raise a UserError unless ``folder`` can be made, or is there and empty."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists():
        raise UserError(
            f"{flag}: {folder} exists; the path of a folder that does not exist is accepted"
        )
    check_writable(folder, flag)


def tensors(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The tensors of a checkpoint under the names of compressed-tensors."""
    stored = dict(checkpoint.tensors)
    made: dict[str, Tensor] = {}
    for layer in checkpoint.header.layers:
        own = {
            name.removeprefix(f"{layer.name}."): stored.pop(name)
            for name in checkpoint.tensors
            if name.startswith(f"{layer.name}.")
        }
        convert = _linear if layer.kind == "linear" else _float_convolution
        made |= {f"{layer.name}.{name}": t for name, t in convert(layer, own).items()}
    for product in checkpoint.header.products:
        prefix = f"{product.name}.products."
        stored = {name: t for name, t in stored.items() if not name.startswith(prefix)}
    return stored | made


def _check_bits(checkpoint: Checkpoint) -> None:
    wider = [x for x in checkpoint.header.layers if x.prefix_bits > x.activation_bits]
    if wider:
        raise UserError(
            f"FILE: the library has one number of bits for all rows, and {wider[0].name} has "
            f"{wider[0].prefix_bits} at the class token and {wider[0].activation_bits} elsewhere; "
            f"what quantize wrote without --prefix-bits is accepted, or --format onnx"
        )
    signed = [x for x in checkpoint.header.layers if x.signed_activations]
    if signed:
        raise UserError(
            f"FILE: {signed[0].name} has {signed[0].activation_bits}-bit integer activations, and "
            f"the format has 8 bits at most; what quantize wrote with --bits of a2 to a8, or a16, "
            f"is accepted, or --format onnx"
        )


def _linear(layer: LayerRecord, own: dict[str, Tensor]) -> dict[str, Tensor]:
    made = {
        "weight_packed": pack_words(_codes(layer, own), stored_bits(layer.weight_bits)),
        "weight_scale": own["scale"][:, None].contiguous(),
        "weight_shape": torch.tensor(layer.shape),
    }
    if "input.scale" in own:
        # The same levels, counted from the middle of the range instead of from its lower end.
        middle = (activation_grid(layer.activation_bits).qmax + 1) // 2
        made["input_scale"] = own["input.scale"].reshape(1)
        zero_point = own["input.zero_point"].to(torch.int16) - middle
        made["input_zero_point"] = zero_point.to(torch.int8).reshape(1)
    if "prefix_shift" in own:
        made |= _front(own)
    return made | {name: own[name] for name in ("bias", "multiplier", "shift") if name in own}


def _front(own: dict[str, Tensor]) -> dict[str, Tensor]:
    """What brings rows at the front to the scale of the others, and their output back."""
    bias = own["bias"].float() if "bias" in own else None
    units, bias = prefix_correction(
        own["input.prefix_scale"], own["input.scale"], own["prefix_bias"].float(), bias
    )
    shift = own["prefix_shift"] / units
    return {
        "prefix_units": units,
        "prefix_shift": shift - own["shift"] if "shift" in own else shift,
        "prefix_bias": bias,
    }


def _float_convolution(layer: LayerRecord, own: dict[str, Tensor]) -> dict[str, Tensor]:
    """The library has no quantized convolution: the values that the integers stand for."""
    scale = own["scale"].reshape(-1, *[1] * (len(layer.shape) - 1))
    made = {"weight": _codes(layer, own).float() * scale}
    return made | ({"bias": own["bias"]} if "bias" in own else {})


def _codes(layer: LayerRecord, own: dict[str, Tensor]) -> Tensor:
    return unpack(own["codes"], layer.shape, weight_grid(layer.weight_bits))


def _config(checkpoint: Checkpoint, model: Model) -> dict[str, Any]:
    header = checkpoint.header
    linear = [layer for layer in header.layers if layer.kind == "linear"]
    integers = {layer.name for layer in linear}
    left_float = [
        name
        for name, module in model.module.named_modules()
        if isinstance(module, torch.nn.Linear) and name not in integers
    ]
    return hub_config(model) | {
        "quantization_config": quantization_config(linear, left_float),
        "input_multipliers": [layer.name for layer in linear if layer.rescaling == "stored"],
        "input_shifts": [layer.name for layer in linear if layer.shifted],
        "input_prefixes": [layer.name for layer in linear if layer.prefix],
    }


def stored_bits(weight_bits: float) -> int:
    """Bits that a weight takes; ternary integers take two."""
    return 2 if weight_bits == 1.58 else int(weight_bits)


def quantization_config(layers: Iterable[LayerRecord], left_float: Iterable[str]) -> dict[str, Any]:
    """For a ``config.json``.

    layers: those that are stored as integers. left_float: names of Linears that are not.
    """
    groups: dict[tuple[int, int], list[str]] = {}
    for layer in layers:
        key = stored_bits(layer.weight_bits), layer.activation_bits
        groups.setdefault(key, []).append(layer.name)
    return {
        "quant_method": "compressed-tensors",
        "version": _VERSION,
        "format": FORMAT,
        "quantization_status": "compressed",
        "global_compression_ratio": None,
        "kv_cache_scheme": None,
        "ignore": sorted(left_float),
        "config_groups": {
            f"group_{i}": _group(*bits, names) for i, (bits, names) in enumerate(groups.items())
        },
    }


def _group(weight_bits: int, activation_bits: int, names: list[str]) -> dict[str, Any]:
    activations = None if activation_bits == FLOAT_BITS else _arguments(activation_bits, "tensor")
    return {
        "targets": names,
        "weights": _arguments(weight_bits, "channel"),
        "input_activations": activations,
        "output_activations": None,
        "format": FORMAT,
    }


def _arguments(bits: int, strategy: str) -> dict[str, Any]:
    return {
        "num_bits": bits,
        "type": "int",
        "symmetric": strategy == "channel",
        "strategy": strategy,
        "group_size": None,
        "dynamic": False,
    }


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
