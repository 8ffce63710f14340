"""The PyTorch model with float products of activations, as ``--float-attention`` exports it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vitquant.layers.product import Product


@contextmanager
def float_products(network: nn.Module) -> Iterator[None]:
    """Inside, products of two activations are computed in float, as ``--float-attention`` does."""
    products = [m for m in network.modules() if type(m) is Product]
    for module in products:
        module.__class__ = _FloatProduct
    try:
        yield
    finally:
        for module in products:
            module.__class__ = Product


class _FloatProduct(Product):
    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        # The interception of the attention around it is not to see this product again.
        with torch._C.DisableTorchFunction():
            return torch.matmul(left, right)
