"""How far a quantized model agrees with itself where its sums are accumulated differently.

Rounding to few levels makes of the last digit of a sum, now and then, a whole level, and of one
level, some layers on, another prediction for a close image. No two runtimes add up in the same
order, so an exported model cannot be asked to agree with the PyTorch model on more images than that
model, with noise in its accumulators, agrees with itself.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vitquant.exporters.lowering import lowered
from vitquant.exporters.onnx.qdq import int32_bias
from vitquant.quantization.layers.attention import QuantizedMatmul
from vitquant.quantization.layers.base import IntLayer
from vitquant.quantization.quantizers.matmul import quantized_matmul

# Relative; what float32 sums of a few hundred terms differ by.
_NOISE = 1e-6


@contextmanager
def perturb_accumulation(network: nn.Module, seed: int = 0) -> Iterator[None]:
    """Inside, biases are whole numbers of the accumulator's units, and products are off by 1e-6."""
    noise = torch.Generator().manual_seed(seed)

    def perturb(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        return output * (1 + _NOISE * torch.randn(output.shape, generator=noise))

    with ExitStack() as undo:
        for module in network.modules():
            if not isinstance(module, (IntLayer, QuantizedMatmul)):
                continue
            undo.callback(module.register_forward_hook(perturb).remove)
            if isinstance(module, IntLayer):
                undo.callback(setattr, module, "bias", module.bias)
                module.bias = _in_units(module)
        yield


def _in_units(layer: IntLayer) -> Tensor | None:
    found = int32_bias(layer)
    return (
        layer.bias if found is None else torch.from_numpy((found[0] * found[1]).astype(np.float32))
    )


@contextmanager
def float_matmuls(network: nn.Module) -> Iterator[None]:
    """Inside, matmuls of two activations are computed in float, as ``--float-attention`` exports
    them."""
    with lowered({m: _float_matmul for m in network.modules() if isinstance(m, QuantizedMatmul)}):
        yield


def _float_matmul(left: Tensor, right: Tensor) -> Tensor:
    # The interception of the attention around it must not see this matmul again.
    product: Tensor = quantized_matmul(left, right, None, None)
    return product
