"""Activations and weights in ONNX: to the checkpoint's own levels, stored in few bits."""

import numpy as np
from onnx import TensorProto

from vitquant.exporters.onnx.graph import Graph, OnnxIntType, int_tensor, smallest_type
from vitquant.quantization.layers.base import IntLayer
from vitquant.quantization.quantizers.grid import Grid
from vitquant.quantization.quantizers.modules import FrozenQuantizer


def clip_to_grid(
    graph: Graph,
    x: str,
    grid: Grid,
    scale: np.ndarray,
    zero_point: int,
    name: str,
    output: str = "",
) -> str:
    """``x`` clipped to the range of a grid's levels."""
    low = scale * np.float32(grid.qmin - zero_point)
    high = scale * np.float32(grid.qmax - zero_point)
    bounds = [graph.constant(f"{name}.low", low), graph.constant(f"{name}.high", high)]
    return graph.add("Clip", [x, *bounds], f"{name}/clip", output)


def quantize_linear(
    graph: Graph,
    x: str,
    quantizer: FrozenQuantizer,
    name: str,
    scale: np.ndarray | None = None,
    zero_point: int | None = None,
) -> tuple[str, list[str]]:
    """``x`` as integers: their name, and the names of [scale, zero point].

    Unsigned bytes, or int16 where the grid is signed. A byte has more levels than an activation of
    fewer than 8 bits, so the value is clipped to the range of those that the checkpoint has.
    Runtimes recognize that form; they compute types of 4 bits in float.

    scale, zero_point: by default the quantizer's own. With a zero point, ``x`` is clipped already.
    """
    scale = quantizer.scale.numpy() if scale is None else scale
    own = int(quantizer.zero_point)
    onnx_type = np.int16 if quantizer.grid.signed else np.uint8
    if zero_point is None and quantizer.grid.qmax < 255:
        x = clip_to_grid(graph, x, quantizer.grid, scale, own, name)
    qparams = [
        graph.constant(f"{name}.scale", scale),
        graph.constant(
            f"{name}.zero_point", np.array(own if zero_point is None else zero_point, onnx_type)
        ),
    ]
    return graph.add("QuantizeLinear", [x, *qparams], f"{name}/quantize"), qparams


def quantize_dequantize(
    graph: Graph,
    x: str,
    quantizer: FrozenQuantizer,
    name: str,
    output: str = "",
    scale: np.ndarray | None = None,
    zero_point: int | None = None,
) -> str:
    """``x`` quantized and dequantized: what a runtime fuses with the matmul behind it.

    scale, zero_point: as for :func:`quantize_linear`.
    """
    codes, qparams = quantize_linear(graph, x, quantizer, name, scale, zero_point)
    return graph.add("DequantizeLinear", [codes, *qparams], f"{name}/dequantize", output)


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


def dequantized_weight(
    graph: Graph,
    layer: IntLayer,
    name: str,
    min_weight_type: OnnxIntType,
    *,
    flat: bool = False,
) -> str:
    """:func:`integer_weight` behind a DequantizeLinear, which runtimes fuse with the product."""
    codes = integer_weight(graph, layer, name, min_weight_type, flat=flat)
    scale = graph.constant(f"{name}.weight_scale", layer.scale.numpy())
    # ONNX takes zero for a zero point that is left out; ONNX Runtime then computes in float.
    zeros = graph.constant(f"zeros.{len(layer.scale)}", np.zeros(len(layer.scale), np.int8))
    return graph.add("DequantizeLinear", [codes, scale, zeros], f"{name}/weight", axis=0)


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
