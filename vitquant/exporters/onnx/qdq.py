"""How an activation is quantized in ONNX: to the checkpoint's own levels, in unsigned bytes."""

import numpy as np

from vitquant.exporters.onnx.graph import Graph
from vitquant.layers.quantizer import FixedQuantizer
from vitquant.quantizers.grid import Grid


def clipped(
    graph: Graph,
    x: str,
    grid: Grid,
    scale: np.ndarray,
    zero_point: int,
    name: str,
    output: str = "",
) -> str:
    """``x`` within the range of a grid's levels."""
    low = scale * np.float32(grid.qmin - zero_point)
    high = scale * np.float32(grid.qmax - zero_point)
    bounds = [graph.constant(f"{name}.low", low), graph.constant(f"{name}.high", high)]
    return graph.add("Clip", [x, *bounds], f"{name}/clip", output)


def quantized(
    graph: Graph,
    x: str,
    quantizer: FixedQuantizer,
    name: str,
    scale: np.ndarray | None = None,
    zero_point: int | None = None,
) -> tuple[str, list[str]]:
    """``x`` as unsigned bytes: their name, and the names of [scale, zero point].

    A byte has more levels than an activation of fewer than 8 bits, so the value is clipped to the
    range of those that the checkpoint has. Runtimes recognise that form; they run types of 4 bits
    in float.

    scale, zero_point: by default the quantizer's own. With a zero point, ``x`` is clipped already.
    """
    scale = quantizer.scale.numpy() if scale is None else scale
    own = int(quantizer.zero_point)
    if zero_point is None and quantizer.grid.qmax < 255:
        x = clipped(graph, x, quantizer.grid, scale, own, name)
    zero_point = np.array(own if zero_point is None else zero_point, np.uint8)
    grid = [
        graph.constant(f"{name}.scale", scale),
        graph.constant(f"{name}.zero_point", zero_point),
    ]
    return graph.add("QuantizeLinear", [x, *grid], f"{name}/quantize"), grid


def on_grid(
    graph: Graph,
    x: str,
    quantizer: FixedQuantizer,
    name: str,
    output: str = "",
    scale: np.ndarray | None = None,
    zero_point: int | None = None,
) -> str:
    """``x`` quantized and read back: what a runtime fuses with the product behind it."""
    codes, grid = quantized(graph, x, quantizer, name, scale, zero_point)
    return graph.add("DequantizeLinear", [codes, *grid], f"{name}/dequantize", output)
