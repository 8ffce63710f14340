"""Listen to what enters the quantizers of a quantized model."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitquant.quantization.layers.attention import QuantizedMatmul
from vitquant.quantization.layers.base import IntLayer
from vitquant.quantization.layers.conv import IntConv2d
from vitquant.quantization.layers.interception import intercepted
from vitquant.quantization.layers.prefix import expand_to_tokens, num_tokens
from vitquant.quantization.quantizers.affine import QParams
from vitquant.quantization.quantizers.matmul import quantized_matmul

INPUT, LEFT, RIGHT = "input", "left operand", "right operand"


class Entered(NamedTuple):
    """A tensor that is about to be quantized.

    name: of the layer or matmul. tensor: which of its tensors. x: the tensor, shifted and rescaled.
    q: how it is quantized. compute: what the layer or matmul makes of such a tensor, without bias.
    """

    name: str
    tensor: str
    x: Tensor
    q: QParams
    compute: Callable[[Tensor], Tensor]


Listener = Callable[[Entered], None]


@contextmanager
def tapped(module: nn.Module, listener: Listener) -> Iterator[None]:
    """Call ``listener`` for each quantized input and operand of a quantized network, in the order
    of execution. What the network computes stays the same."""
    parts: list[Any] = []
    for name, layer in module.named_modules():
        if isinstance(layer, IntLayer) and layer.input is not None:
            layer.lowering = partial(_layer, name, layer, listener)
            parts.append(layer)
    for name, _, matmuls in intercepted(module):
        for i, matmul in enumerate(matmuls):
            matmul.lowering = partial(_matmul, f"{name}.products.{i}", matmul, listener)
            parts.append(matmul)
    try:
        yield
    finally:
        for part in parts:
            part.lowering = None


def _layer(name: str, layer: IntLayer, listener: Listener, x: Tensor, *bias: Any) -> Tensor:
    shifted = _shifted(layer, x)
    q = layer.input_qparams(x)
    assert q is not None
    exact = shifted if q.multiplier is None else shifted * q.multiplier
    plain = q._replace(multiplier=None)
    listener(Entered(name, INPUT, exact, plain, partial(_of_layer, layer)))
    own = layer.lowering
    layer.lowering = None
    try:
        compute: Any = layer.matmul if bias else layer.forward
        result: Tensor = compute(x, *bias)
        return result
    finally:
        layer.lowering = own


def _of_layer(layer: IntLayer, x: Tensor) -> Tensor:
    if isinstance(layer, IntConv2d):
        return F.conv2d(x, layer.weight, None, **layer.settings)
    return quantized_matmul(x, layer.weight.mT, None, None)


def _shifted(layer: IntLayer, x: Tensor) -> Tensor:
    shift = layer.shift
    if layer.prefix_shift is not None:
        others = torch.zeros_like(layer.prefix_shift[0]) if shift is None else shift
        shift = expand_to_tokens(torch.cat([layer.prefix_shift, others[None]]), num_tokens(x))
    return x if shift is None else x + shift


def _matmul(
    name: str, matmul: QuantizedMatmul, listener: Listener, left: Tensor, right: Tensor
) -> Tensor:
    a, b = matmul.left.qparams(num_tokens=left.shape[-2]), matmul.right.qparams()
    batch = torch.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    left, right = (x.expand(*batch, *x.shape[-2:]) for x in (left, right))
    listener(Entered(name, LEFT, left, a, lambda x: quantized_matmul(x, right, None, b)))
    listener(Entered(name, RIGHT, right, b, lambda x: quantized_matmul(left, x, a, None)))
    own = matmul.lowering
    matmul.lowering = None
    try:
        result: Tensor = matmul(left, right)
        return result
    finally:
        matmul.lowering = own
