"""What is in a checkpoint: the figures behind ``vitquant inspect``."""

from dataclasses import asdict
from typing import Any

from vitquant.checkpoint.packing import packed_bytes
from vitquant.checkpoint.read import Checkpoint
from vitquant.quantization.graph.keep_float import KEPT
from vitquant.quantization.quantizers.grid import weight_grid
from vitquant.reports.widths import mean_bits

# What a tensor that stays float is for, by the end of its name; the first that fits is taken.
_REASONS = (
    (("pos_embed", "cls_token", "reg_token", "dist_token"), "added to the residual stream"),
    (("token_embedding", "position_embedding"), "embedding, looked up and added"),
    (("relative_position_bias_table", "logit_scale"), "enters the attention logits"),
    (("gamma", "ls1", "ls2"), "layer scale"),
    (("bias",), "bias, added to the accumulator"),
)


def report(checkpoint: Checkpoint) -> dict[str, Any]:
    """Layers, products, what stayed float and why, and bytes; all of it fit for JSON."""
    header, tensors = checkpoint.header, checkpoint.tensors
    layers = []
    accounted: set[str] = set()
    for record in header.layers:
        own = {n for n in tensors if n.startswith(f"{record.name}.")}
        accounted |= own
        size = sum(_bytes(tensors[n]) for n in own)
        layers.append(asdict(record) | {"bytes": size})
    for product in header.products:
        own = {n for n in tensors if n.startswith(f"{product.name}.products.")}
        accounted |= own
        layers += [_product_row(product, i, tensors) for i in range(product.count)]
    remainder = {n: t for n, t in tensors.items() if n not in accounted}
    weight_bits, activation_bits = mean_bits(header)
    return {
        "model": header.model["name"],
        "float_model": header.model,
        "bits": header.bits,
        "mean_weight_bits": round(weight_bits, 4),
        "mean_activation_bits": round(activation_bits, 4),
        "target": header.target,
        "layers": layers,
        "kept_float": [
            {"name": n, "shape": list(t.shape), "bytes": _bytes(t), "why": _why(n, header)}
            for n, t in remainder.items()
        ],
        "float_operations": [
            "softmax, GELU, normalization and residual additions",
            *(f"{name}: {why}" for name, why in header.unreached.items()),
            *([] if header.products else ["attention matmuls and activations: weights only"]),
        ],
        "bytes": checkpoint.bytes,
        "weight_bytes": sum(_weight_bytes(r) for r in header.layers),
        "float_bytes": header.model["float_bytes"],
        "settings": header.settings,
        "versions": header.versions,
        "format_version": header.format_version,
    }


def _product_row(product, index: int, tensors) -> dict[str, Any]:
    name = f"{product.name}.products.{index}"
    return {
        "name": name,
        "kind": "matmul",
        "weight_bits": None,
        "activation_bits": product.matmul_bits()[index],
        "signed_activations": product.signed_activations[index],
        "shape": None,
        "bytes": sum(_bytes(t) for n, t in tensors.items() if n.startswith(f"{name}.")),
        "sqnr_db": None,
        "rescaling": "none",
    }


def _weight_bytes(record) -> int:
    count = 1
    for size in record.shape:
        count *= size
    return packed_bytes(count, weight_grid(record.weight_bits))


def _why(name: str, header) -> str:
    parts = name.split(".")
    module = name.rpartition(".")[0]
    if module in header.constant:
        return "its input is the same for every image"
    for around, why in header.unreached.items():
        if around and (module == around or module.startswith(f"{around}.")):
            return why if why == KEPT else "its module cannot be reached"
    if any("norm" in part for part in parts[:-1]):
        return "normalization"
    for ends, why in _REASONS:
        if any(part in ends for part in parts[-2:]):
            return why
    return "neither a Linear nor a Conv2d"


def _bytes(tensor) -> int:
    return tensor.numel() * tensor.element_size()
