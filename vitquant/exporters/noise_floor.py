"""The PyTorch model as it would be, had its sums been rounded differently.

Rounding to few levels makes of the last digit of a sum, now and then, a whole level, and of one
level, some layers on, another answer for a close image. No two runtimes add up in the same order,
so an exported model cannot be asked to agree with the PyTorch model on more images than that model,
rounded differently, agrees with itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from vitquant.exporters.onnx.weights import accumulator_bias
from vitquant.layers.product import Product
from vitquant.layers.weight import IntegerWeight

# Relative; what float32 sums of a few hundred terms differ by.
_NOISE = 1e-6


@contextmanager
def rounded_differently(network: nn.Module, seed: int = 0) -> Iterator[None]:
    """Inside, biases are whole numbers of the accumulator's units, and products are off by 1e-6."""
    noise = torch.Generator().manual_seed(seed)

    def disturb(module: nn.Module, args: tuple, output: Tensor) -> Tensor:
        return output * (1 + _NOISE * torch.randn(output.shape, generator=noise))

    products = [m for m in network.modules() if isinstance(m, (IntegerWeight, Product))]
    handles = [module.register_forward_hook(disturb) for module in products]
    biases = {m: m.bias for m in products if isinstance(m, IntegerWeight)}
    for layer, bias in biases.items():
        layer.bias = _in_units(layer, bias)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for layer, bias in biases.items():
            layer.bias = bias


def _in_units(layer: IntegerWeight, bias: Tensor | None) -> Tensor | None:
    found = None if bias is None or layer.input is None else accumulator_bias(layer)
    return bias if found is None else torch.from_numpy((found[0] * found[1]).astype(np.float32))


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
