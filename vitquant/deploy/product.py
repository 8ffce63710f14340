"""A product of two activations, as nodes that ONNX Runtime runs as one integer product."""

from vitquant.deploy.activation import on_grid
from vitquant.deploy.graph import Graph
from vitquant.layers.product import Product


def product(graph: Graph, module: Product, name: str, operands: list[str], output: str) -> bool:
    """``left @ right`` of shapes (..., M, K) and (..., K, N) to ``output``, in integers."""
    left = on_grid(graph, operands[0], module.left, f"{name}.left")
    right = on_grid(graph, operands[1], module.right, f"{name}.right")
    graph.add("MatMul", [left, right], name, output)
    return True


def float_product(graph: Graph, name: str, operands: list[str], output: str) -> bool:
    """The same with neither operand quantized."""
    graph.add("MatMul", operands, name, output)
    return False
