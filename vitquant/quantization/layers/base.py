"""What Linear and Conv2d share: a weight with a scale for each output channel."""

from collections.abc import Callable
from enum import StrEnum

import torch
from torch import Tensor, nn

from vitquant.config.targets.base import Symmetry
from vitquant.quantization.layers.prefix import num_tokens
from vitquant.quantization.quantizers import per_channel
from vitquant.quantization.quantizers.affine import QParams
from vitquant.quantization.quantizers.compiled import Compilable
from vitquant.quantization.quantizers.grid import NO_PREFIX, Grid, PrefixFormat
from vitquant.quantization.quantizers.modules import FrozenQuantizer, LearnableFakeQuantize
from vitquant.quantization.quantizers.mse_search import search_per_channel


class FoldTarget(StrEnum):
    """Where the division by ``r`` ends up once quantization is done."""

    NORM = "norm"  # in the affine parameters of the normalization in front
    LINEAR = "linear"  # in the output channels of an earlier Linear
    NONE = "none"  # nowhere: a per-channel constant fused with quantizing the input


class ChannelRescale(nn.Module):
    """A positive factor ``r`` (channels,): the layer computes with x / r and W * r.

    Args:
        channels: input channels of the layer.
        fold_target: where 1 / r will be folded.
        source: name of the module that it folds into; empty for ``FoldTarget.NONE``.
    """

    def __init__(self, channels: int, fold_target: FoldTarget, source: str = "") -> None:
        super().__init__()
        self.fold_target = fold_target
        self.source = source
        self.log = nn.Parameter(torch.zeros(channels))

    def factor(self) -> Tensor:
        return self.log.exp()

    def reciprocal(self) -> Tensor:
        return self.log.neg().exp()


class IntLayer(Compilable):
    """Integers and scales as a checkpoint stores them.

    codes: int8, the shape of the float weight (O, I, ...). scale: float32 (O,). bias: (O,) or None.
    input: how the input is quantized, or None where it stays float. multiplier: (I,), 1 / r where
    rescaling could not be folded away. shift: (I,), added to the input in front of everything else,
    or None; the bias already lacks what that adds to the output. prefix_shift: (P, I), added to the
    P prefix rows in its place, and prefix_bias: (P, O), added to their output beside the
    bias; or None.
    """

    codes: Tensor
    scale: Tensor
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
        prefix: PrefixFormat = NO_PREFIX,
    ) -> None:
        super().__init__()
        self.grid = weight
        self.register_buffer("codes", torch.zeros(shape, dtype=torch.int8))
        self.register_buffer("scale", torch.ones(shape[0]))
        self.register_buffer("bias", torch.zeros(shape[0]) if bias else None)
        self.register_buffer("multiplier", torch.ones(shape[1]) if multiplier else None)
        self.register_buffer("shift", torch.zeros(shape[1]) if shift else None)
        for name, size in (("prefix_shift", shape[1]), ("prefix_bias", shape[0])):
            self.register_buffer(name, torch.zeros(prefix.count, size) if prefix.count else None)
        self.input = None if activation is None else FrozenQuantizer(activation, prefix=prefix)

    @property
    def prefix(self) -> PrefixFormat:
        """Rows of the input that are quantized in a way of their own."""
        return NO_PREFIX if self.input is None else self.input.prefix

    @property
    def weight(self) -> Tensor:
        """The dequantized weight, float, of the shape of codes.

        Computed from codes and scale whenever it is read, so that it is theirs after whatever has
        written into them or replaced them. That takes a tenth of the time of the matmul, or less.
        """
        # By this function an interception knows which layer a weight belongs to.
        return torch.mul(self.codes, per_channel.view_per_channel(self.scale, self.codes))

    def input_qparams(self, x: Tensor | None = None) -> QParams | None:
        """How the input ``x`` is quantized; without it, rows behind the prefix."""
        return None if self.input is None else self.input.qparams(self.multiplier, num_tokens(x))


class FakeQuantLayer(Compilable):
    """A latent float weight seen through fake quantization, with everything about it trainable.

    Args:
        layer: the float layer; its weight and bias are copied.
        weight: grid of the weight.
        activation: grid of the input, or None to leave it float.
        prefix: rows of the input that are quantized in a way of their own.
        symmetry: of the input.
    """

    def __init__(
        self,
        layer: nn.Linear | nn.Conv2d,
        weight: Grid,
        activation: Grid | None,
        prefix: PrefixFormat = NO_PREFIX,
        symmetry: Symmetry = Symmetry.NONE,
    ) -> None:
        super().__init__()
        self.grid = weight
        self.weight = nn.Parameter(layer.weight.detach().clone())
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach().clone())
        self.log_scale = nn.Parameter(torch.zeros(self.weight.shape[0]))
        self.input: LearnableFakeQuantize | None = None
        if activation is not None:
            self.input = LearnableFakeQuantize(activation, prefix=prefix, symmetry=symmetry)
        self.rescale: ChannelRescale | None = None

    @property
    def prefix(self) -> PrefixFormat:
        """Rows of the input that are quantized in a way of their own."""
        return NO_PREFIX if self.input is None else self.input.prefix

    @torch.no_grad()
    def calibrate(self, inputs: Tensor, prefix_rows: Tensor | None = None) -> None:
        """Search the scales of weight and input as they now are, rescaling included.

        inputs: a sample of the layer's input, (N, I) for a Linear, any shape for a convolution.
        prefix_rows: (B, P, I), a sample of the prefix rows.
        """
        self.log_scale.copy_(search_per_channel(self.rescaled_weight(), self.grid).log())
        self.calibrate_activation(inputs, prefix_rows)

    @torch.no_grad()
    def calibrate_activation(self, inputs: Tensor, prefix_rows: Tensor | None = None) -> None:
        """The input's part of :meth:`calibrate`."""
        self.calibrate_input(inputs, self.rescaled_weight())

    def calibrate_input(self, inputs: Tensor, weight: Tensor) -> None:
        """Search scale and zero point of the input. weight: the rescaled one."""
        if self.input is None:
            return
        inputs = self.rescaled_input(inputs)
        if weight.dim() == 2:
            inputs = inputs[:: max(1, len(inputs) // 1024)]
            self.input.calibrate(inputs, lambda difference: difference @ weight.mT)
        else:
            self.input.calibrate(inputs, lambda difference: difference)

    def calibrated_tensors(self) -> list[Tensor]:
        """What :meth:`calibrate` sets."""
        return [self.log_scale, *([] if self.input is None else self.input.calibrated_tensors())]

    def rescaled_input(self, x: Tensor) -> Tensor:
        return x if self.rescale is None else x * self.rescale.reciprocal()

    def rescaled_weight(self) -> Tensor:
        return self.weight if self.rescale is None else self.weight * self.rescale.factor()

    @torch.no_grad()
    def lsb(self) -> Tensor:
        """The distance of two levels in units of ``weight``, in a shape that broadcasts to its."""
        scale = per_channel.view_per_channel(self.log_scale.exp(), self.weight)
        return scale if self.rescale is None else scale * self.rescale.reciprocal()

    def quantized_weight(self) -> Tensor:
        weight, scale = self.rescaled_weight(), self.log_scale.exp()
        return per_channel.fake_quantize(weight, scale, self.grid, use_compiled=self.compiled)

    def input_multiplier(self) -> Tensor | None:
        """1 / r, unless an earlier Linear already divides its output by r."""
        if self.rescale is None or self.rescale.fold_target is FoldTarget.LINEAR:
            return None
        return self.rescale.reciprocal()

    def input_qparams(self, x: Tensor | None = None) -> QParams | None:
        """How the input ``x`` is quantized; without it, rows behind the prefix."""
        if self.input is None:
            return None
        return self.input.qparams(self.input_multiplier(), num_tokens(x))

    @torch.no_grad()
    def effective_weight(self) -> Tensor:
        """The quantized weight in the float layer's own units, rescaling undone."""
        weight = self.quantized_weight()
        return weight if self.rescale is None else weight * self.rescale.reciprocal()

    @torch.no_grad()
    def write_to(self, integer: IntLayer) -> None:
        """Round the weight for good and write it into ``integer``."""
        scale = self.log_scale.exp()
        integer.to(self.weight.device)
        integer.codes.copy_(per_channel.codes(self.rescaled_weight(), scale, self.grid))
        integer.scale.copy_(scale)
        if integer.bias is not None and self.bias is not None:
            integer.bias.copy_(self.bias)
        if self.input is not None:
            integer.input = self.input.freeze()
        if integer.multiplier is not None and self.rescale is not None:
            integer.multiplier.copy_(self.rescale.reciprocal())


_EXACT = (".scale", ".prefix_scale", ".multiplier", ".shift", ".prefix_shift")


def is_float_remainder(name: str, tensor: Tensor) -> bool:
    """Whether a tensor of a converted model is stored as float16.

    Scales, stored rescaling and shifts keep float32, as does what float16 cannot hold.
    """
    if tensor.dtype != torch.float32 or name.endswith(_EXACT):
        return False
    return tensor.numel() == 0 or bool(tensor.abs().max() <= torch.finfo(torch.float16).max)
