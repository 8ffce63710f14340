"""A product of two activations, as nodes that ONNX Runtime runs as one integer product."""

import numpy as np

from vitquant.exporters.onnx.graph import Graph
from vitquant.exporters.onnx.qdq import on_grid
from vitquant.layers.product import Product


def product(
    graph: Graph, module: Product, name: str, operands: list[str], output: str, rows: int
) -> bool:
    """``left @ right`` of shapes (..., rows, K) and (..., K, N) to ``output``, in integers."""
    scale = module.left.parameters_for(rows=rows).scale
    if scale.dim():
        return _by_parts(graph, module, name, operands, output, scale.numpy())
    left = on_grid(graph, operands[0], module.left, f"{name}.left")
    right = on_grid(graph, operands[1], module.right, f"{name}.right")
    graph.add("MatMul", [left, right], name, output)
    return True


def _by_parts(
    graph: Graph, module: Product, name: str, operands: list[str], output: str, scale: np.ndarray
) -> bool:
    """Runtimes multiply integers of one scale, so those of heads and rows are taken out in front
    and put back behind."""
    units = graph.add(
        "Mul", [operands[0], graph.constant(f"{name}.per_unit", 1 / scale)], f"{name}.left/units"
    )
    left = on_grid(graph, units, module.left, f"{name}.left", scale=np.float32(1))
    right = on_grid(graph, operands[1], module.right, f"{name}.right")
    sums = graph.add("MatMul", [left, right], name)
    graph.add("Mul", [sums, graph.constant(f"{name}.unit", scale)], f"{name}/scale", output)
    return True


def float_product(graph: Graph, name: str, operands: list[str], output: str) -> bool:
    """The same with neither operand quantized."""
    graph.add("MatMul", operands, name, output)
    return False
