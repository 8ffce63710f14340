"""The PyTorch model with float products of activations, as ``--float-attention`` exports it."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from vitquant.quantization.layers.attention import QuantizedMatmul
from vitquant.quantization.quantizers.matmul import quantized_matmul


@contextmanager
def float_products(network: nn.Module) -> Iterator[None]:
    """Inside, products of two activations are computed in float, as ``--float-attention`` does."""
    products = [m for m in network.modules() if type(m) is QuantizedMatmul]
    for module in products:
        module.__class__ = _FloatProduct
    try:
        yield
    finally:
        for module in products:
            module.__class__ = QuantizedMatmul


class _FloatProduct(QuantizedMatmul):
    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        # The interception of the attention around it is not to see this product again.
        return quantized_matmul(left, right, None, None)
