"""A product of two activations, such as queries with keys: both operands are quantized."""

import torch
from torch import Tensor, nn

from vitquant.layers.quantizer import FixedQuantizer, LearnedQuantizer
from vitquant.quantizers.grid import Grid
from vitquant.quantizers.matmul import quantized_matmul


class Product(nn.Module):
    """``left @ right`` with each operand on its own grid. Shapes (..., M, K) and (..., K, N)."""

    def __init__(self, left: nn.Module, right: nn.Module) -> None:
        super().__init__()
        self.left = left
        self.right = right

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        a, b = self.left.parameters_for(), self.right.parameters_for()
        if left.shape[:-2] != right.shape[:-2]:
            batch = torch.broadcast_shapes(left.shape[:-2], right.shape[:-2])
            left = left.expand(*batch, *left.shape[-2:])
            right = right.expand(*batch, *right.shape[-2:])
        return quantized_matmul(left, right, a, b)

    def integer(self) -> "Product":
        """The product as it is stored."""
        return Product(self.left.fixed(), self.right.fixed())


def learned_product(activation: Grid) -> Product:
    return Product(LearnedQuantizer(activation), LearnedQuantizer(activation))


def fixed_product(activation: Grid) -> Product:
    return Product(FixedQuantizer(activation), FixedQuantizer(activation))
