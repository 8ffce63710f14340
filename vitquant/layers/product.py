"""A product of two activations, such as queries with keys: both operands are quantized."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vitquant.layers.quantizer import FixedQuantizer, LearnedQuantizer
from vitquant.quantizers.grid import NO_FRONT, Front, Grid
from vitquant.quantizers.matmul import quantized_matmul


class Product(nn.Module):
    """``left @ right`` with each operand on its own grid. Shapes (..., M, K) and (..., K, N).

    The left one's heads may have scales of their own: attention weights that are even, and so
    small, in one head and sharp in another would need both small levels and large ones. So may its
    rows at the front, the queries of the class token and what they attend to.
    """

    # What an exporter has the product compute in place of its own arithmetic.
    lowering: Callable[[Tensor, Tensor], Tensor] | None = None

    def __init__(self, left: nn.Module, right: nn.Module) -> None:
        super().__init__()
        self.left = left
        self.right = right

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        if self.lowering is not None:
            return self.lowering(left, right)
        a, b = self.left.parameters_for(rows=left.shape[-2]), self.right.parameters_for()
        if left.shape[:-2] != right.shape[:-2]:
            batch = torch.broadcast_shapes(left.shape[:-2], right.shape[:-2])
            left = left.expand(*batch, *left.shape[-2:])
            right = right.expand(*batch, *right.shape[-2:])
        return quantized_matmul(left, right, a, b)

    def integer(self) -> "Product":
        """The product as it is stored."""
        return Product(self.left.fixed(), self.right.fixed())


def learned_product(activation: Grid, heads: int = 0, front: Front = NO_FRONT) -> Product:
    """To be trained.

    heads, front: how many heads, and which rows, of the left operand have scales of their own.
    """
    return Product(LearnedQuantizer(activation, heads, front), LearnedQuantizer(activation))


def fixed_product(activation: Grid, heads: int = 0, front: Front = NO_FRONT) -> Product:
    """To be filled from a checkpoint; heads and front as in :func:`learned_product`."""
    return Product(FixedQuantizer(activation, heads, front), FixedQuantizer(activation))
