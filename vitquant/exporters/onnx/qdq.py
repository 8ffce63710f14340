"""Activations and weights in ONNX: to the checkpoint's own levels, stored in few bits."""

from typing import Any

import numpy as np
from onnx import TensorProto

from vitquant.exporters.onnx.graph import Graph, OnnxIntType, int_tensor, smallest_type
from vitquant.exporters.onnx.storage import Storage
from vitquant.quantization.layers.base import IntLayer


def clip_to_levels(
    graph: Graph, x: str, scale: np.ndarray, low: int, high: int, name: str, output: str = ""
) -> str:
    """Float ``x`` clipped to levels, which are counted from that of 0."""
    ends = (scale * np.float32(low), scale * np.float32(high))
    return _clip(graph, x, name, *ends, output)


def quantize_linear(graph: Graph, x: str, storage: Storage, name: str) -> tuple[str, list[str]]:
    """``x`` as integers: their name, and the names of [scale, zero point].

    A byte has more levels than an activation of fewer than 8 bits, so it is clipped to those that
    the checkpoint has. Runtimes recognize that form; they compute types of 4 bits in float.
    """
    low, high = storage.clips
    clipped = low is not None or high is not None
    if clipped and not storage.clips_integers:
        zero = int(storage.zero_point)
        x = clip_to_levels(graph, x, storage.scale, storage.low - zero, storage.high - zero, name)
    qparams = [
        graph.constant(f"{name}.scale", storage.scale),
        graph.constant(
            f"{name}.zero_point", np.broadcast_to(storage.zero_point, storage.scale.shape)
        ),
    ]
    axis: dict[str, Any] = {} if storage.axis is None else {"axis": storage.axis}
    codes = graph.add("QuantizeLinear", [x, *qparams], f"{name}/quantize", **axis)
    if clipped and storage.clips_integers:
        codes = _clip(graph, codes, name, low, high)
    return codes, qparams


def quantize_dequantize(graph: Graph, x: str, storage: Storage, name: str, output: str = "") -> str:
    """``x`` quantized and dequantized: what a runtime fuses with the matmul behind it.

    Of storage with several scales, the integers: dequantized with a scale of 1, for a runtime
    multiplies integers of one scale.
    """
    codes, qparams = quantize_linear(graph, x, storage, name)
    if storage.axis is not None:
        qparams = [
            graph.constant("one", np.ones((), np.float32)),
            graph.constant(f"zero.{storage.zero_point}", storage.zero_point),
        ]
    return graph.add("DequantizeLinear", [codes, *qparams], f"{name}/dequantize", output)


def _clip(
    graph: Graph,
    x: str,
    name: str,
    low: np.ndarray | None,
    high: np.ndarray | None,
    output: str = "",
) -> str:
    """None for an end that is open."""
    ends = {"low": low, "high": high}
    bounds = ["" if v is None else graph.constant(f"{name}.{end}", v) for end, v in ends.items()]
    return graph.add("Clip", [x, *bounds], f"{name}/clip", output)


def integer_weight(
    graph: Graph,
    layer: IntLayer,
    name: str,
    min_weight_type: OnnxIntType,
    *,
    flat: bool = False,
) -> str:
    """The integers as int8, in the weight's shape; ``flat``: as (O, I), whatever I is made of.

    Integer kernels take bytes. Runtimes compute the Cast once, when they load the file.
    """
    return _stored(TensorProto.INT8, graph, layer, name, min_weight_type, flat)


def float_weight(
    graph: Graph,
    layer: IntLayer,
    name: str,
    min_weight_type: OnnxIntType,
    *,
    flat: bool = False,
) -> str:
    """The weight in float32, for an input that stays float; it is computed once as well."""
    codes = _stored(TensorProto.FLOAT, graph, layer, name, min_weight_type, flat)
    ones = [1] * (1 if flat else layer.codes.dim() - 1)
    scale = graph.constant(f"{name}.weight_scale", layer.scale.numpy().reshape(-1, *ones))
    return graph.add("Mul", [codes, scale], f"{name}/scaled_weight")


def int32_bias(layer: IntLayer) -> tuple[np.ndarray, np.ndarray] | None:
    """The bias in units of the accumulator, int32 (O,), and the units themselves, float32 (O,).

    The units are the input's scale times the weight's, as for TFLite's biases. None without a bias
    or a quantized input, where that has 16 bits, and where an accumulator could not hold the bias
    beside the product: in a channel whose weights are next to nothing, the units are smaller still.
    """
    if layer.input is None or layer.input.grid.signed or layer.bias is None:
        return None
    units = (layer.input.scale * layer.scale).numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.rint(layer.bias.numpy().astype(np.float64) / units)
    widest = layer.input.prefix.grid or layer.input.grid
    product = (widest.levels - 1) * layer.codes.flatten(1).numpy().astype(np.int64)
    if not np.all(np.abs(steps) + np.abs(product).sum(1) < 2**31):
        return None
    return steps.astype(np.int32), units


def _stored(
    wanted: int,
    graph: Graph,
    layer: IntLayer,
    name: str,
    min_weight_type: OnnxIntType,
    flat: bool,
) -> str:
    """The codes in the smallest type that holds them, cast to the ONNX type ``wanted``."""
    int_type = smallest_type(layer.grid, min_weight_type)
    codes = layer.codes.flatten(1) if flat else layer.codes
    stored = graph.tensor(int_tensor(f"{name}.weight", codes, int_type))
    if int_type.onnx_type == wanted:
        return stored
    return graph.add("Cast", [stored], f"{name}/widen", to=wanted)
