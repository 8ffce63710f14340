"""``quantization_config``: which layers have which bits, in the words of compressed-tensors."""

from collections.abc import Iterable
from typing import Any

from vitquant.checkpoint.schema import LayerRecord
from vitquant.quantizers.grid import FLOAT_BITS

FORMAT = "pack-quantized"
# The first release that packs widths such as 3 bits in this way.
_VERSION = "0.18.0"


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
