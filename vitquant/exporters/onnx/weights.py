"""A quantized weight in ONNX: stored in few bits, widened when a runtime loads the file."""

import numpy as np
from onnx import TensorProto

from vitquant.exporters.onnx.graph import Graph, OnnxIntType, int_tensor, smallest_type
from vitquant.quantization.layers.base import IntLayer


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
    or a quantized input, and where an accumulator could not hold the bias beside the product: in a
    channel whose weights are next to nothing, the units are smaller still.
    """
    if layer.input is None or layer.bias is None:
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
