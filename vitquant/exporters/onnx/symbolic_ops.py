"""Quantized modules that trace as one node each, to be lowered to ONNX operators afterwards.

Tracing what the modules compute in PyTorch would give a graph of float operations in which no
runtime recognizes an integer product. So while a model is traced, each quantized module is a node
of the domain ``vitquant`` that says no more than which module it stands for.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.onnx.ops import symbolic

from vitquant.core.errors import UserError
from vitquant.exporters.lowering import Lowering, lowered
from vitquant.quantization.layers.attention import QuantizedMatmul
from vitquant.quantization.layers.base import IntLayer
from vitquant.quantization.layers.conv import IntConv2d
from vitquant.quantization.layers.linear import IntLinear
from vitquant.quantization.layers.prefix import prefix_correction
from vitquant.quantization.quantizers.modules import FrozenQuantizer

DOMAIN = "vitquant"
INPUT, RANGE, LINEAR = "Input", "Range", "Linear"
CONVOLUTION, MATMUL = "Convolution", "MatMul"


@contextmanager
def symbolic_ops(model: nn.Module) -> Iterator[dict[str, IntLayer | QuantizedMatmul]]:
    """Inside, each quantized module of ``model`` is a node; yields the modules by name.

    Raises:
        UserError: there is a kind of quantized layer that has no node.
    """
    modules = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, (IntLayer, QuantizedMatmul))
    }
    with lowered({module: Traced(_lowering(name, module)) for name, module in modules.items()}):
        yield modules


@dataclass
class Traced:
    """A lowering that remembers whether it ran: of what nothing needs, a graph has no node."""

    function: Lowering
    ran: bool = False

    def __call__(self, *operands: Any) -> Tensor:
        self.ran = True
        return self.function(*operands)


def _lowering(name: str, module: IntLayer | QuantizedMatmul) -> Lowering:
    if isinstance(module, QuantizedMatmul):
        return partial(_matmul, name)
    if isinstance(module, IntLinear):
        return partial(_linear, name, module)
    if isinstance(module, IntConv2d):
        return partial(_convolution, name, module)
    raise UserError(
        f"FILE: {name} is a {type(module).__name__}, which has no form in ONNX; Linear and Conv2d "
        f"layers are accepted"
    )


def _linear(label: str, layer: IntLinear, x: Tensor, bias: Tensor | None) -> Tensor:
    # Some attentions bring a bias of their own, which is then added outside the node.
    own = bias is layer.bias
    if layer.prefix_shift is not None and x.dim() > 2:
        return _linear_with_prefix(label, layer, x, bias)
    shape = x.shape[:-1]
    if layer.multiplier is None:
        rows = _as_rows(_quantized_input(label, layer, x))
    else:
        # OpenVINO (2026.4) computes something else where a product with a constant meets the
        # range of a quantizer, so that a reshape goes between, also where none is needed.
        x = x if layer.shift is None else x + layer.shift
        x = (x if x.dim() > 2 else x.unsqueeze(1)) * layer.multiplier
        rows = _quantized_input(label, layer, _as_rows(x))
    y = _gemm(label, rows, layer.out_features, own)
    y = y if own or bias is None else y + bias
    if len(shape) == 1:
        return y
    return _from_rows(y, (*shape, layer.out_features), biased=bias is not None)


def _linear_with_prefix(label: str, layer: IntLinear, x: Tensor, bias: Tensor | None) -> Tensor:
    """With the prefix rows brought to the scale of the others, and back behind."""
    # A layer with a prefix has all three.
    quantizer = cast(FrozenQuantizer, layer.input)
    shift, scale = cast(Tensor, layer.prefix_shift), cast(Tensor, quantizer.prefix_scale)
    own_bias = bias is layer.bias
    ratio, added = prefix_correction(
        scale, quantizer.scale, cast(Tensor, layer.prefix_bias), bias if own_bias else None
    )
    factor = 1 / ratio if layer.multiplier is None else layer.multiplier / ratio
    rows = _as_rows(x)
    others = rows if layer.shift is None else rows + layer.shift
    others = others if layer.multiplier is None else others * layer.multiplier
    # Writing a few rows in place costs runtimes next to nothing, where cutting the others off
    # and joining them again would copy them all.
    prefix = _prefix_rows(rows, x.shape[-2], quantizer.prefix.count)
    own = rows[prefix] * factor + shift * factor
    zero_point = None
    if quantizer.prefix.grid is not None:
        own, others = _in_range(label, own, prefix=True), _in_range(label, others, prefix=False)
        # Around the middle of a byte there is room for the levels of both.
        zero_point = -quantizer.prefix.grid.qmin
    moved = _quantized_input(label, layer, others.index_put((prefix,), own), zero_point)
    y = _gemm(label, moved, layer.out_features, own_bias)
    y = y.index_put((prefix,), y[prefix] * ratio + added)
    y = y.reshape(*x.shape[:-1], layer.out_features)
    return y if own_bias or bias is None else y + bias


def _convolution(label: str, layer: IntConv2d, x: Tensor) -> Tensor:
    if is_patch_embedding(layer, (x.shape[-2], x.shape[-1])):
        return _patch_embedding(label, layer, x)
    like = F.conv2d(x, layer.weight, None, **layer.settings)
    return _node(CONVOLUTION, label, [x], [x.shape[0], *like.shape[1:]])


def _patch_embedding(label: str, layer: IntConv2d, x: Tensor) -> Tensor:
    """The convolution as a Linear on the pixels of each patch: (B, C, H, W) → (B, O, h, w)."""
    channels, (height, width) = x.shape[1], layer.codes.shape[2:]
    h, w = x.shape[2] // height, x.shape[3] // width
    x = x.reshape(-1, channels, h, height, w, width).permute(0, 2, 4, 1, 3, 5)
    x = x.reshape(-1, h * w, channels * height * width)
    rows = _as_rows(_quantized_input(label, layer, x))
    y = _gemm(label, rows, len(layer.codes))
    y = _from_rows(y, (-1, h * w, len(layer.codes)), biased=layer.bias is not None)
    return y.mT.reshape(-1, len(layer.codes), h, w)


def _matmul(label: str, left: Tensor, right: Tensor) -> Tensor:
    batch = torch.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    shape = [*batch, left.shape[-2], right.shape[-1]]
    return _node(MATMUL, label, [left, right], shape, rows=int(left.shape[-2]))


def is_patch_embedding(layer: IntConv2d, size: tuple[int, int]) -> bool:
    """Whether a convolution of an image (height, width) is a Linear on patches side by side."""
    kernel = tuple(layer.codes.shape[2:])
    settings = layer.settings
    return (
        tuple(settings["stride"]) == kernel
        and settings["padding"] in (0, (0, 0), "valid")
        and settings["groups"] == 1
        and all(pixels % side == 0 for pixels, side in zip(size, kernel, strict=True))
        and tuple(settings["dilation"]) == (1, 1)
    )


def _quantized_input(
    label: str, layer: IntLayer, x: Tensor, zero_point: int | None = None
) -> Tensor:
    """The input of a layer, rounded; with a zero point, it is in the range of the levels already.

    In front of the reshape that makes rows of it: then a runtime can round where it computes what
    comes before.
    """
    if layer.input is None:
        return x
    own = {} if zero_point is None else {"zero_point": zero_point}
    return _node(INPUT, label, [x], [*x.shape], **own)


def _as_rows(x: Tensor) -> Tensor:
    """(B, ..., I) → (rows, I).

    Only a matrix becomes a Gemm, and only a Gemm keeps its quantized operands: graph optimizers
    tear a product of higher rank, followed by an addition, from its dequantization.
    """
    return x if x.dim() == 2 else x.reshape(-1, x.shape[-1])


def _from_rows(y: Tensor, shape: Sequence[int], *, biased: bool) -> Tensor:
    """(rows, O) → (B, ..., O)."""
    # OpenVINO (2026.4) moves the scales of a product without a bias behind this reshape and takes
    # tokens for channels, where there are as many or more, unless the product has a dimension more.
    return (y if biased else y.unsqueeze(0)).reshape(shape)


def _prefix_rows(rows: Tensor, tokens: int, prefix: int) -> Tensor:
    """(images, prefix): which of ``rows`` (images * tokens, C) are at the front of their images."""
    return torch.arange(rows.shape[0] // tokens)[:, None] * tokens + torch.arange(prefix)


def _in_range(label: str, x: Tensor, *, prefix: bool) -> Tensor:
    """Rows at the front, or others, clipped to the levels of their grid."""
    return _node(RANGE, label, [x], [*x.shape], prefix=int(prefix))


def _gemm(label: str, rows: Tensor, features: int, bias: bool = True) -> Tensor:
    """(rows, I) → (rows, features)."""
    return _node(LINEAR, label, [rows], [rows.shape[0], features], bias=int(bias))


def _node(kind: str, label: str, inputs: list[Tensor], shape: list[Any], **attrs: int) -> Tensor:
    """One node. shape: of its output; sizes that are left open are symbolic."""
    return symbolic(
        f"{DOMAIN}::{kind}",
        inputs,
        {"layer": label, **attrs},
        dtype=inputs[0].dtype,
        shape=shape,
        version=1,
    )
