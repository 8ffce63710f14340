"""How an activation is quantized in ONNX: to the checkpoint's own levels, in unsigned bytes."""

import numpy as np

from vitquant.exporters.onnx.graph import Graph
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
    """``x`` as unsigned bytes: their name, and the names of [scale, zero point].

    A byte has more levels than an activation of fewer than 8 bits, so the value is clipped to the
    range of those that the checkpoint has. Runtimes recognize that form; they compute types of
    4 bits in float.

    scale, zero_point: by default the quantizer's own. With a zero point, ``x`` is clipped already.
    """
    scale = quantizer.scale.numpy() if scale is None else scale
    own = int(quantizer.zero_point)
    if zero_point is None and quantizer.grid.qmax < 255:
        x = clip_to_grid(graph, x, quantizer.grid, scale, own, name)
    qparams = [
        graph.constant(f"{name}.scale", scale),
        graph.constant(
            f"{name}.zero_point", np.array(own if zero_point is None else zero_point, np.uint8)
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
