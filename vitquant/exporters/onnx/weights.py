"""A quantized weight in ONNX: stored in few bits, widened when a runtime loads the file."""

import numpy as np
from onnx import TensorProto

from vitquant.exporters.onnx.graph import Container, Graph, container_for, integers
from vitquant.layers.weight import IntegerWeight


def integer_weight(
    graph: Graph, layer: IntegerWeight, name: str, narrowest: Container, *, flat: bool = False
) -> str:
    """The integers as int8, in the weight's shape; ``flat``: as (O, I), whatever I is made of.

    Integer kernels take bytes. Runtimes compute the Cast once, when they load the file.
    """
    return _as(TensorProto.INT8, graph, layer, name, narrowest, flat)


def float_weight(
    graph: Graph, layer: IntegerWeight, name: str, narrowest: Container, *, flat: bool = False
) -> str:
    """The weight in float32, for an input that stays float; it is computed once as well."""
    codes = _as(TensorProto.FLOAT, graph, layer, name, narrowest, flat)
    ones = [1] * (1 if flat else layer.codes.dim() - 1)
    scale = graph.constant(f"{name}.weight_scale", layer.scale.numpy().reshape(-1, *ones))
    return graph.add("Mul", [codes, scale], f"{name}/scaled_weight")


def accumulator_bias(layer: IntegerWeight) -> tuple[np.ndarray, np.ndarray] | None:
    """The bias in units of the accumulator, int32 (O,), and the units themselves, float32 (O,).

    None where an accumulator could not hold it beside the product: in a channel whose weights are
    next to nothing, the units are smaller still.
    """
    assert layer.input is not None
    units = (layer.input.scale * layer.scale).numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.rint(layer.bias.numpy().astype(np.float64) / units)
    widest = layer.input.front.grid or layer.input.grid
    product = (widest.levels - 1) * layer.codes.flatten(1).numpy().astype(np.int64)
    if not np.all(np.abs(steps) + np.abs(product).sum(1) < 2**31):
        return None
    return steps.astype(np.int32), units


def _as(
    wanted: int, graph: Graph, layer: IntegerWeight, name: str, narrowest: Container, flat: bool
) -> str:
    container = container_for(layer.grid, narrowest)
    codes = layer.codes.flatten(1) if flat else layer.codes
    stored = graph.tensor(integers(f"{name}.weight", codes, container))
    if container.onnx_type == wanted:
        return stored
    return graph.add("Cast", [stored], f"{name}/widen", to=wanted)
