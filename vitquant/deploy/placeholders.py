"""Quantized modules that trace as one node each, to be expanded into ONNX operators afterwards.

Tracing what the modules compute in PyTorch would give a graph of float operations in which no
runtime recognises an integer product. So while a model is traced, each quantized module is a node
of the domain ``vitquant`` that says no more than which module it stands for. As in
``layers.interception``, only the class of a module is swapped.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.onnx.ops import symbolic

from vitquant.quantization.layers.attention import QuantizedMatmul
from vitquant.quantization.layers.base import IntLayer
from vitquant.quantization.layers.conv import IntConv2d
from vitquant.quantization.layers.linear import IntLinear
from vitquant.quantization.layers.prefix import prefix_correction

DOMAIN = "vitquant"
INPUT, RANGE, LINEAR = "Input", "Range", "Linear"
CONVOLUTION, PRODUCT = "Convolution", "Product"


@contextmanager
def placeholders(model: nn.Module) -> Iterator[dict[str, nn.Module]]:
    """Swap the quantized modules of ``model`` for placeholders; yields them by name."""
    swapped = {name: m for name, m in model.named_modules() if type(m) in _PLACEHOLDERS}
    for name, module in swapped.items():
        module.__class__ = _PLACEHOLDERS[type(module)]
        module.label = name
    try:
        yield swapped
    finally:
        for module in swapped.values():
            module.__class__ = type(module).__mro__[1]
            del module.label


class _LinearPlaceholder(IntLinear):
    def matmul(self, x: Tensor, bias: Tensor | None) -> Tensor:
        if self.prefix_shift is not None and x.dim() > 2:
            return self._with_prefix(x, bias)
        shape = x.shape[:-1]
        if self.multiplier is None:
            rows = _as_rows(_on_grid(self, x))
        else:
            # OpenVINO (2026.4) computes something else where a product with a constant meets the
            # range of a quantizer, so that a reshape goes between, also where none is needed.
            x = x if self.shift is None else x + self.shift
            x = (x if x.dim() > 2 else x.unsqueeze(1)) * self.multiplier
            rows = _on_grid(self, _as_rows(x))
        # Some attentions bring a bias of their own, which is then added outside the node.
        own = bias is self.bias
        y = _product(self, rows, self.out_features, own)
        y = y if own or bias is None else y + bias
        return y if len(shape) == 1 else y.reshape(*shape, self.out_features)

    def _with_prefix(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """With the rows at the front brought to the scale of the others, and back behind."""
        own_bias = bias is self.bias
        units, added = prefix_correction(
            self.input.prefix_scale, self.input.scale, self.prefix_bias, bias if own_bias else None
        )
        factor = 1 / units if self.multiplier is None else self.multiplier / units
        rows = _as_rows(x)
        others = rows if self.shift is None else rows + self.shift
        others = others if self.multiplier is None else others * self.multiplier
        # Writing a few rows in place costs runtimes next to nothing, where cutting the others off
        # and joining them again would copy them all.
        prefix = _front(rows, x.shape[-2], self.input.prefix.count)
        own = rows[prefix] * factor + self.prefix_shift * factor
        zero_point = None
        if self.input.prefix.grid is not None:
            own, others = _in_range(self, own, prefix=True), _in_range(self, others, prefix=False)
            # Around the middle of a byte there is room for the levels of both.
            zero_point = -self.input.prefix.grid.qmin
        moved = _on_grid(self, others.index_put((prefix,), own), zero_point)
        y = _product(self, moved, self.out_features, own_bias)
        y = y.index_put((prefix,), y[prefix] * units + added)
        y = y.reshape(*x.shape[:-1], self.out_features)
        return y if own_bias or bias is None else y + bias


class _ConvPlaceholder(IntConv2d):
    def forward(self, x: Tensor) -> Tensor:
        if cuts_patches(self, tuple(x.shape[-2:])):
            return self._patches(x)
        like = F.conv2d(x, self.weight, None, **self.settings)
        attributes = {"layer": self.label}
        return _node(CONVOLUTION, [x], attributes, [x.shape[0], *like.shape[1:]])

    def _patches(self, x: Tensor) -> Tensor:
        """The convolution as a Linear on the pixels of each patch: (B, C, H, W) → (B, O, h, w)."""
        channels, (height, width) = x.shape[1], self.codes.shape[2:]
        h, w = x.shape[2] // height, x.shape[3] // width
        x = x.reshape(-1, channels, h, height, w, width).permute(0, 2, 4, 1, 3, 5)
        rows = _as_rows(_on_grid(self, x.reshape(-1, h * w, channels * height * width)))
        y = _product(self, rows, len(self.codes)).reshape(-1, h * w, len(self.codes))
        return y.mT.reshape(-1, len(self.codes), h, w)


class _ProductPlaceholder(QuantizedMatmul):
    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        batch = torch.broadcast_shapes(left.shape[:-2], right.shape[:-2])
        shape = [*batch, left.shape[-2], right.shape[-1]]
        attributes = {"layer": self.label, "rows": int(left.shape[-2])}
        return _node(PRODUCT, [left, right], attributes, shape)


_PLACEHOLDERS: dict[type, type] = {
    IntLinear: _LinearPlaceholder,
    IntConv2d: _ConvPlaceholder,
    QuantizedMatmul: _ProductPlaceholder,
}


def cuts_patches(layer: IntConv2d, size: tuple[int, int]) -> bool:
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


def _on_grid(layer: IntLayer, x: Tensor, zero_point: int | None = None) -> Tensor:
    """The input of a layer, rounded; with a zero point, it is in the range of the levels already.

    In front of the reshape that makes rows of it: then a runtime can round where it computes what
    comes before.
    """
    if layer.input is None:
        return x
    own = {} if zero_point is None else {"zero_point": zero_point}
    return _node(INPUT, [x], {"layer": layer.label} | own, [*x.shape])


def _as_rows(x: Tensor) -> Tensor:
    """(B, ..., I) → (rows, I).

    Only a matrix becomes a Gemm, and only a Gemm keeps its quantized operands: graph optimisers
    tear a product of higher rank, followed by an addition, from its dequantization.
    """
    return x if x.dim() == 2 else x.reshape(-1, x.shape[-1])


def _front(rows: Tensor, tokens: int, prefix: int) -> Tensor:
    """(images, prefix): which of ``rows`` (images * tokens, C) are at the front of their images."""
    return torch.arange(rows.shape[0] // tokens)[:, None] * tokens + torch.arange(prefix)


def _in_range(layer: IntLayer, x: Tensor, *, prefix: bool) -> Tensor:
    """Rows at the front, or others, clipped to the levels of their grid."""
    return _node(RANGE, [x], {"layer": layer.label, "front": int(prefix)}, [*x.shape])


def _product(layer: IntLayer, rows: Tensor, features: int, bias: bool = True) -> Tensor:
    """(rows, I) → (rows, features)."""
    attributes = {"layer": layer.label, "bias": int(bias)}
    return _node(LINEAR, [rows], attributes, [rows.shape[0], features])


def _node(kind: str, inputs: list[Tensor], attributes: dict, shape: list) -> Tensor:
    return symbolic(
        f"{DOMAIN}::{kind}", inputs, attributes, dtype=inputs[0].dtype, shape=shape, version=1
    )
