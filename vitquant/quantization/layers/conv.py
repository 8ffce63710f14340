"""The quantized Conv2d, as it is trained and as it is stored."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, fx, nn

from vitquant.config.targets.base import Symmetry
from vitquant.quantization.layers.base import FakeQuantLayer, IntLayer
from vitquant.quantization.layers.symbolic_trace import record_call
from vitquant.quantization.quantizers.affine import fake_quantize
from vitquant.quantization.quantizers.grid import Grid


def conv_arguments(layer: nn.Conv2d) -> dict[str, Any]:
    """The arguments of F.conv2d for a float layer.

    Raises:
        ValueError: the layer pads with something other than zeros.
    """
    if layer.padding_mode != "zeros":
        raise ValueError(f"a Conv2d with {layer.padding_mode} padding")
    return {k: getattr(layer, k) for k in ("stride", "padding", "dilation", "groups")}


class _Geometry(nn.Module):
    """The attributes of an nn.Conv2d that code around a layer reads."""

    padding_mode = "zeros"
    transposed = False
    settings: dict[str, Any]
    """The arguments of F.conv2d."""

    def set_geometry(self, shape: tuple[int, ...], settings: dict[str, Any]) -> None:
        """shape: of the weight, (O, I / groups, H, W)."""
        self.settings = settings
        self.out_channels, self.in_channels = shape[0], shape[1] * settings["groups"]
        self.kernel_size, self.output_padding = shape[2:], (0, 0)
        self.stride, self.padding = settings["stride"], settings["padding"]
        self.dilation, self.groups = settings["dilation"], settings["groups"]


class IntConv2d(_Geometry, IntLayer):
    """A Conv2d of stored integers. ``settings`` are the arguments of F.conv2d."""

    def __init__(self, shape: tuple[int, ...], settings: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(shape, **kwargs)
        self.set_geometry(shape, settings)

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(x, fx.Proxy):
            return record_call(self, x, (x,))
        if self.lowering is not None:
            return self.lowering(x)
        x = fake_quantize(x, self.input_qparams(), use_compiled=self.compiled)
        return F.conv2d(x, self.weight, self.bias, **self.settings)


class FakeQuantConv2d(_Geometry, FakeQuantLayer):
    """A convolution with both operands fake-quantized."""

    def __init__(
        self,
        layer: nn.Conv2d,
        weight: Grid,
        activation: Grid | None,
        symmetry: Symmetry = Symmetry.NONE,
    ) -> None:
        super().__init__(layer, weight, activation, symmetry=symmetry)
        self.set_geometry(tuple(layer.weight.shape), conv_arguments(layer))

    def forward(self, x: Tensor) -> Tensor:
        x = fake_quantize(x, self.input_qparams(), use_compiled=self.compiled)
        return F.conv2d(x, self.quantized_weight(), self.bias, **self.settings)

    def convert(self) -> IntConv2d:
        integer = IntConv2d(
            tuple(self.weight.shape),
            self.settings,
            bias=self.bias is not None,
            weight=self.grid,
            activation=None if self.input is None else self.input.grid,
        )
        self.write_to(integer)
        return integer
