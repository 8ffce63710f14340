"""What Linear and Conv2d share: a weight with a scale for each output channel."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vitquant.layers.quantizer import FixedQuantizer, LearnedQuantizer
from vitquant.layers.rescale import Rescale, Site
from vitquant.layers.rows import count
from vitquant.quantizers import per_channel
from vitquant.quantizers.grid import NO_FRONT, Front, Grid
from vitquant.quantizers.per_tensor import PerTensor
from vitquant.quantizers.search import search_per_channel


class IntegerWeight(nn.Module):
    """Integers and scales as a checkpoint stores them.

    codes: int8, the shape of the float weight (O, I, ...). scale: float32 (O,). bias: (O,) or None.
    input: how the input is quantized, or None where it stays float. multiplier: (I,), 1 / r where
    rescaling could not be folded away. shift: (I,), added to the input in front of everything else,
    or None; the bias already lacks what that adds to the output. prefix_shift: (P, I), added to the
    P rows of ``front`` in its place, and prefix_bias: (P, O), added to their output beside the
    bias; or None.
    """

    codes: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor | None
    multiplier: Tensor | None
    shift: Tensor | None
    prefix_shift: Tensor | None
    prefix_bias: Tensor | None
    # What an exporter has the layer compute in place of its own arithmetic.
    lowering: Callable[..., Tensor] | None = None

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        bias: bool,
        weight: Grid,
        activation: Grid | None,
        multiplier: bool = False,
        shift: bool = False,
        front: Front = NO_FRONT,
    ) -> None:
        super().__init__()
        self.grid = weight
        self.register_buffer("codes", torch.zeros(shape, dtype=torch.int8))
        self.register_buffer("scale", torch.ones(shape[0]))
        self.register_buffer("bias", torch.zeros(shape[0]) if bias else None)
        self.register_buffer("multiplier", torch.ones(shape[1]) if multiplier else None)
        self.register_buffer("shift", torch.zeros(shape[1]) if shift else None)
        self.register_buffer("weight", torch.zeros(shape), persistent=False)
        for name, size in (("prefix_shift", shape[1]), ("prefix_bias", shape[0])):
            self.register_buffer(name, torch.zeros(front.count, size) if front.count else None)
        self.input = None
        if activation is not None:
            self.input = FixedQuantizer(activation, front=front)

    @torch.no_grad()
    def refresh(self) -> None:
        """Compute the dequantized weight again; call it after codes or scale have changed."""
        scale = per_channel.over_channels(self.scale, self.codes)
        self.weight = self.codes.to(self.scale.dtype) * scale

    def input_parameters(self, x: Tensor | None = None) -> PerTensor | None:
        """How the input ``x`` is quantized; without it, rows that are not at the front."""
        return None if self.input is None else self.input.parameters_for(self.multiplier, count(x))


class LearnedWeight(nn.Module):
    """A latent float weight seen through fake quantization, with everything about it trainable.

    Args:
        layer: the float layer; its weight and bias are copied.
        weight: grid of the weight.
        activation: grid of the input, or None to leave it float.
        front: rows of the input that are quantized in a way of their own.
    """

    def __init__(
        self,
        layer: nn.Module,
        weight: Grid,
        activation: Grid | None,
        front: Front = NO_FRONT,
    ) -> None:
        super().__init__()
        self.grid = weight
        self.weight = nn.Parameter(layer.weight.detach().clone())
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach().clone())
        self.log_scale = nn.Parameter(torch.zeros(self.weight.shape[0]))
        self.input = None
        if activation is not None:
            self.input = LearnedQuantizer(activation, front=front)
        self.rescale: Rescale | None = None

    @property
    def front(self) -> Front:
        """Rows of the input that are quantized in a way of their own."""
        return NO_FRONT if self.input is None else self.input.front

    @torch.no_grad()
    def calibrate(self, inputs: Tensor) -> None:
        """Search the scales of weight and input as they now are, rescaling included.

        inputs: a sample of the layer's input, (N, I) for a Linear, any shape for a convolution.
        """
        weight = self.rescaled_weight()
        self.log_scale.copy_(search_per_channel(weight, self.grid).log())
        if self.input is not None:
            self.calibrate_input(inputs, weight)

    def calibrate_input(self, inputs: Tensor, weight: Tensor) -> None:
        """The input's part of :meth:`calibrate`. weight: the rescaled one."""
        if self.rescale is not None:
            inputs = inputs * self.rescale.reciprocal()
        if weight.dim() == 2:
            inputs = inputs[:: max(1, len(inputs) // 1024)]
            self.input.calibrate(inputs, lambda difference: difference @ weight.mT)
        else:
            self.input.calibrate(inputs, lambda difference: difference)

    def searched(self) -> list[Tensor]:
        """What :meth:`calibrate` sets."""
        return [self.log_scale, *([] if self.input is None else self.input.searched())]

    def rescaled_weight(self) -> Tensor:
        return self.weight if self.rescale is None else self.weight * self.rescale.factor()

    @torch.no_grad()
    def level(self) -> Tensor:
        """The width of a level in units of ``weight``, in a shape that broadcasts to its."""
        scale = per_channel.over_channels(self.log_scale.exp(), self.weight)
        return scale if self.rescale is None else scale * self.rescale.reciprocal()

    def quantized_weight(self) -> Tensor:
        return per_channel.fake_quantize(self.rescaled_weight(), self.log_scale.exp(), self.grid)

    def input_multiplier(self) -> Tensor | None:
        """1 / r, unless an earlier Linear already divides its output by r."""
        if self.rescale is None or self.rescale.site is Site.LINEAR:
            return None
        return self.rescale.reciprocal()

    def input_parameters(self, x: Tensor | None = None) -> PerTensor | None:
        """How the input ``x`` is quantized; without it, rows that are not at the front."""
        if self.input is None:
            return None
        return self.input.parameters_for(self.input_multiplier(), count(x))

    @torch.no_grad()
    def effective_weight(self) -> Tensor:
        """The quantized weight in the float layer's own units, rescaling undone."""
        weight = self.quantized_weight()
        return weight if self.rescale is None else weight * self.rescale.reciprocal()

    @torch.no_grad()
    def store_in(self, integer: IntegerWeight) -> None:
        """Round the weight for good and write it into ``integer``."""
        scale = self.log_scale.exp()
        integer.to(self.weight.device)
        integer.codes.copy_(per_channel.codes(self.rescaled_weight(), scale, self.grid))
        integer.scale.copy_(scale)
        if self.bias is not None:
            integer.bias.copy_(self.bias)
        if self.input is not None:
            integer.input = self.input.fixed()
        if integer.multiplier is not None:
            integer.multiplier.copy_(self.rescale.reciprocal())
        integer.refresh()
