"""How an activation is quantized in ONNX: to the checkpoint's own levels, in unsigned bytes."""

import numpy as np

from vitquant.deploy.graph import Graph
from vitquant.layers.quantizer import FixedQuantizer


def quantized(
    graph: Graph, x: str, quantizer: FixedQuantizer, name: str, scale: np.ndarray | None = None
) -> tuple[str, list[str]]:
    """``x`` as unsigned bytes: their name, and the names of [scale, zero point].

    A byte has more levels than an activation of fewer than 8 bits, so the value is clipped to the
    range of those that the checkpoint has. Runtimes recognise that form; they run types of 4 bits
    in float.

    scale: by default the quantizer's own.
    """
    scale = quantizer.scale.numpy() if scale is None else scale
    zero_point = quantizer.zero_point.numpy()
    grid = [
        graph.constant(f"{name}.scale", scale),
        graph.constant(f"{name}.zero_point", zero_point),
    ]
    if quantizer.grid.qmax < 255:
        low = scale * np.float32(quantizer.grid.qmin - int(zero_point))
        high = scale * np.float32(quantizer.grid.qmax - int(zero_point))
        bounds = [graph.constant(f"{name}.low", low), graph.constant(f"{name}.high", high)]
        x = graph.add("Clip", [x, *bounds], f"{name}/clip")
    return graph.add("QuantizeLinear", [x, *grid], f"{name}/quantize"), grid


def on_grid(
    graph: Graph,
    x: str,
    quantizer: FixedQuantizer,
    name: str,
    output: str = "",
    scale: np.ndarray | None = None,
) -> str:
    """``x`` quantized and read back: what a runtime fuses with the product behind it."""
    codes, grid = quantized(graph, x, quantizer, name, scale)
    return graph.add("DequantizeLinear", [codes, *grid], f"{name}/dequantize", output)
