"""Quantized layers as the operators that ExecuTorch lowers to XNNPACK's integer kernels.

XNNPACK has no product of integers with a fixed scale that gives floats: of its kernels for Linear
layers, those with a float output choose a scale and a zero point for each row while they run, from
its least and its greatest value (``qd8_f32_qc8w``, ``qd8_f32_qc4w``). So each row is clipped to the
range of the checkpoint's grid, and the two ends of a whole byte of levels are put behind it, where
the weight has zeros. Then the scale that is chosen is the checkpoint's own.

Such a kernel exists for constant weights alone. The two matmuls of an attention are float, of
operands that are rounded to the checkpoint's grids.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitquant.core.errors import UserError
from vitquant.exporters.lowering import Lowering, lowered
from vitquant.exporters.onnx.symbolic_ops import is_patch_embedding
from vitquant.quantization.layers.attention import QuantizedMatmul
from vitquant.quantization.layers.base import IntLayer
from vitquant.quantization.layers.conv import IntConv2d
from vitquant.quantization.layers.linear import IntLinear
from vitquant.quantization.quantizers.modules import FrozenQuantizer

_LOW, _HIGH = -128, 127
_STEPS = _HIGH - _LOW
# Weights on this grid, or on one inside it, are stored in 4 bits.
_LOW4, _HIGH4 = -8, 7
_ACCEPTED = "what quantize wrote with activations of a2 to a8 is accepted, or --format onnx"


@contextmanager
def xnnpack_ops(network: nn.Module, float_attention: bool) -> Iterator[list[str]]:
    """Inside, each quantized module of ``network`` computes by the operators to be lowered.

    Yields the names of the layers that have run, in their order. Constants that depend on the
    number of rows are made the first time that a layer runs, which must not be in a trace.

    Raises:
        UserError: a layer has no such form.
    """
    ran: list[str] = []
    lowerings: dict[IntLayer | QuantizedMatmul, Lowering] = {}
    for name, module in network.named_modules():
        if isinstance(module, IntLayer):
            _check(name, module)
            lowerings[module] = _noted(name, ran, _layer(name, module))
        elif isinstance(module, QuantizedMatmul):
            lowerings[module] = _product if float_attention else _rounded_product(name, module)
    with lowered(lowerings):
        yield ran


def _check(name: str, layer: IntLayer) -> None:
    if layer.input is None or layer.input.grid.signed:
        kind = "float" if layer.input is None else "16-bit integer"
        raise UserError(
            f"FILE: {name} has {kind} activations, and XNNPACK's integer kernels take bytes; "
            f"{_ACCEPTED}"
        )
    if layer.prefix.count:
        raise UserError(
            f"FILE: class tokens in {name} have scales of their own; what quantize wrote without "
            f"--prefix-scales and --prefix-bits is accepted, or --format onnx"
        )


def _noted(name: str, ran: list[str], function: Lowering) -> Lowering:
    def noted(*operands: Tensor) -> Tensor:
        ran.append(name)
        return function(*operands)

    return noted


def _layer(name: str, layer: IntLayer) -> Lowering:
    if isinstance(layer, IntConv2d):
        return _patch_embedding(name, layer, _linear(layer))
    if isinstance(layer, IntLinear):
        return _linear(layer)
    raise UserError(
        f"FILE: {name} is a {type(layer).__name__}, which has no form in ExecuTorch; Linear and "
        f"Conv2d layers are accepted"
    )


def _linear(layer: IntLayer) -> Callable[[Tensor, Tensor | None], Tensor]:
    """(..., I) → (..., O)."""
    quantizer = layer.input
    assert quantizer is not None  # checked before
    codes = F.pad(layer.codes.flatten(1), (0, 2))
    scale, zeros = layer.scale.clone(), torch.zeros(len(codes), dtype=torch.int64)
    narrow = layer.grid.qmin >= _LOW4 and layer.grid.qmax <= _HIGH4
    weight = (codes, scale, zeros, 0, *((_LOW4, _HIGH4) if narrow else (_LOW, _HIGH)), torch.int8)
    step, zero_point, grid = float(quantizer.scale), int(quantizer.zero_point), quantizer.grid
    low, high = step * (grid.qmin - zero_point), step * (grid.qmax - zero_point)
    ends = torch.tensor([low, low + _STEPS * step])
    # Not those of the layer, which are symbols in a trace.
    own_bias, shift, multiplier = map(_copy, (layer.bias, layer.shift, layer.multiplier))
    rows: dict[torch.Size, Tensor] = {}

    def compute(x: Tensor, bias: Tensor | None) -> Tensor:
        x = x if shift is None else x + shift
        x = x if multiplier is None else x * multiplier
        shape = x.shape[:-1]
        if shape not in rows:
            rows[shape] = ends.expand(*shape, 2).contiguous()
        x = _rounded_rows(torch.cat([x.clamp(low, high), rows[shape]], -1))
        # Some attentions bring a bias of their own, which is no constant.
        own = bias is layer.bias
        y = F.linear(x, _ops().dequantize_per_channel(*weight), own_bias if own else None)
        return y if own or bias is None else y + bias

    return compute


def _copy(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.clone()


def _rounded_rows(x: Tensor) -> Tensor:
    """Quantized and dequantized with a scale for each row, as the kernel does it."""
    ops = _ops()
    scale, zero_point = ops.choose_qparams_per_token_asymmetric(x, torch.int8)
    levels = scale, zero_point, _LOW, _HIGH, torch.int8
    return ops.dequantize_per_token(ops.quantize_per_token(x, *levels), *levels, torch.float32)


def _patch_embedding(name: str, layer: IntConv2d, linear: Lowering) -> Lowering:
    """A convolution whose patches lie side by side, as a Linear on the pixels of each."""

    def compute(x: Tensor) -> Tensor:
        if not is_patch_embedding(layer, (x.shape[-2], x.shape[-1])):
            raise UserError(
                f"FILE: the patches of {name} overlap or are padded, which has no integer kernel "
                f"here; a convolution on patches side by side is accepted, or --format onnx"
            )
        batch, channels, height, width = x.shape
        rows, columns = layer.codes.shape[2:]
        h, w = height // rows, width // columns
        x = x.reshape(batch, channels, h, rows, w, columns).permute(0, 2, 4, 1, 3, 5)
        y = linear(x.reshape(batch, h * w, -1), layer.bias)
        return y.mT.reshape(batch, -1, h, w)

    return compute


def _rounded_product(name: str, module: QuantizedMatmul) -> Lowering:
    """A float product of rounded operands."""
    left, right = (_rounding(f"{name}.{side}", getattr(module, side)) for side in ("left", "right"))
    return lambda a, b: _product(left(a), right(b))


def _rounding(name: str, quantizer: FrozenQuantizer) -> Callable[[Tensor], Tensor]:
    if quantizer.grid.signed:
        raise UserError(f"FILE: {name} has 16-bit integers; {_ACCEPTED}, or --float-attention")
    if quantizer.prefix.count:
        raise UserError(
            f"FILE: class tokens in {name} have scales of their own; --float-attention is "
            f"accepted, or --format onnx"
        )
    # As signed bytes, which are the only ones that XNNPACK has.
    grid, middle = quantizer.grid, -_LOW
    limits = (int(quantizer.zero_point) - middle, grid.qmin - middle, grid.qmax - middle)
    heads = quantizer.scale.clone() if quantizer.heads else None
    step = 1.0 if quantizer.heads else float(quantizer.scale)

    def compute(x: Tensor) -> Tensor:
        x = x if heads is None else x / heads
        codes = _ops().quantize_per_tensor(x, step, *limits, torch.int8)
        x = _ops().dequantize_per_tensor(codes, step, *limits, torch.int8)
        return x if heads is None else x * heads

    return compute


def _product(left: Tensor, right: Tensor) -> Tensor:
    """(..., M, K) @ (..., K, N), as one product of matrices, which is a kernel of XNNPACK."""
    batch = torch.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    left, right = (_matrices(x, batch) for x in (left, right))
    # Not torch.bmm: the interception of the attention around it must not see this one again.
    product: Tensor = torch.ops.aten.bmm.default(left, right)
    return product.reshape(*batch, *product.shape[-2:])


def _matrices(x: Tensor, batch: torch.Size) -> Tensor:
    """(..., M, N) → (all of ``batch``, M, N)."""
    # Where nothing is to be expanded, ExecuTorch would copy all the same.
    x = x if x.shape[:-2] == batch else x.expand(*batch, *x.shape[-2:])
    return x.reshape(-1, *x.shape[-2:])


def _ops() -> Any:
    """Registered when executorch is imported."""
    return torch.ops.quantized_decomposed
