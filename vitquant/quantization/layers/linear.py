"""The quantized Linear, as it is trained and as it is stored."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, fx, nn

from vitquant.config.targets.base import Symmetry
from vitquant.quantization.layers.base import ChannelRescale, FakeQuantLayer, FoldTarget, IntLayer
from vitquant.quantization.layers.prefix import expand_to_tokens, num_tokens
from vitquant.quantization.layers.symbolic_trace import record_call
from vitquant.quantization.quantizers.affine import fake_quantize_forward
from vitquant.quantization.quantizers.grid import NO_PREFIX, Grid, PrefixFormat
from vitquant.quantization.quantizers.matmul import quantized_matmul
from vitquant.quantization.quantizers.modules import LearnableFakeQuantize

# How far up the lowest value of a sample may be shifted, as fractions of the way to zero.
_FRACTIONS = (0.0, 0.25, 0.5, 0.75, 1.0)


class IntLinear(IntLayer):
    """A Linear of stored integers. Computes what integer kernels compute, in float precision."""

    @property
    def in_features(self) -> int:
        return self.codes.shape[1]

    @property
    def out_features(self) -> int:
        return self.codes.shape[0]

    def forward(self, x: Tensor) -> Tensor:
        return self.matmul(x, self.bias)

    def matmul(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """The layer with a given bias: some attentions call F.linear on ``weight`` themselves."""
        if isinstance(x, fx.Proxy):
            return record_call(self, x, (x,))
        if self.lowering is not None:
            return self.lowering(x, bias)
        shift = self.shift
        if self.prefix_shift is not None and self.prefix_bias is not None:
            shift = expand_to_tokens(_table(self.prefix_shift, shift), num_tokens(x))
            prefix = self.prefix_bias if bias is None else self.prefix_bias + bias
            bias = expand_to_tokens(_table(prefix, bias), num_tokens(x))
        x = x if shift is None else x + shift
        q = self.input_qparams(x)
        out = quantized_matmul(x, self.weight.mT, q, None, use_compiled=self.compiled)
        return out if bias is None else out + bias


def _table(prefix: Tensor, others: Tensor | None) -> Tensor:
    """(P + 1, C): ``prefix`` (P, C) and, last, ``others`` (C,), or zeros."""
    others = torch.zeros_like(prefix[0]) if others is None else others
    return torch.cat([prefix, others[None]])


class FakeQuantLinear(FakeQuantLayer):
    """``(x / r) @ (W * r).T + b`` with both operands fake-quantized.

    ``before_matmul``, if set, is called with the input whenever the layer is about to compute.

    ``consumer`` is set where a later Linear's rescaling folds into some of this layer's output
    channels: the values of an attention, in front of its output projection.

    ``channel_shift`` (I,), in LSBs, is added to each input channel in front of the quantizer, and
    its product with the weight is subtracted again: a zero point for each channel, which need not
    be an integer (Outlier Suppression+, arXiv 2304.09145).

    The rows of class tokens and registers are shifted by ``-prefix_mean`` (P, I), in units of the
    input, and by ``prefix_channel_shift`` (P, I), in LSBs of their own grid, and have scales of
    their own. In most blocks a class token is nearly the same for all images.
    """

    prefix_mean: Tensor

    def __init__(
        self,
        layer: nn.Linear,
        weight: Grid,
        activation: Grid | None,
        prefix: PrefixFormat = NO_PREFIX,
        symmetry: Symmetry = Symmetry.NONE,
    ) -> None:
        super().__init__(layer, weight, activation, prefix, symmetry)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.before_matmul: Callable[[Tensor], None] | None = None
        self.consumer: ChannelRescale | None = None
        self.consumer_start = 0
        self.channel_shift: nn.Parameter | None = None
        self.prefix_channel_shift: nn.Parameter | None = None
        if self.prefix.count:
            zeros = torch.zeros(prefix.count, self.in_features)
            self.prefix_channel_shift = nn.Parameter(zeros)
            self.register_buffer("prefix_mean", zeros.clone(), persistent=False)

    def add_channel_shift(self) -> None:
        """Give a layer with a bias, and rescaling in front of its quantizer, a shift of 0."""
        self.channel_shift = nn.Parameter(torch.zeros_like(self.weight[0]))

    def forward(self, x: Tensor) -> Tensor:
        return self.matmul(x, self.bias)

    def matmul(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """The layer with a given bias: some attentions call F.linear on ``weight`` themselves."""
        if self.before_matmul is not None:
            self.before_matmul(x)
        weight = self.quantized_weight()
        if self.consumer is not None:
            multiplier = self.output_multiplier()
            # Folding will scale the rows of the weight too, and it costs no pass over the output.
            weight = weight * multiplier[:, None]
            bias = None if bias is None else bias * multiplier
        if self.has_shift:
            shift = self.shift_in_rescaled_units()
            x = x + expand_to_tokens(self.input_shift(shift), num_tokens(x))
            # Matmuls are of half precision in training; this one is as small as its result matters.
            with torch.autocast(x.device.type, enabled=False):
                shifted = quantized_matmul(shift, weight.mT, None, None)
            bias = expand_to_tokens(-shifted if bias is None else bias - shifted, num_tokens(x))
        q = self.input_qparams(x)
        out = quantized_matmul(x, weight.mT, q, None, use_compiled=self.compiled)
        return out if bias is None else out + bias

    @property
    def has_shift(self) -> bool:
        """Whether something is added to the input in front of the quantizer."""
        return self.channel_shift is not None or self.prefix_channel_shift is not None

    def shift_in_rescaled_units(self) -> Tensor:
        """(P + 1, I): what is added to prefix rows and, last, to all others.

        In units of the rescaled input.
        """
        quantizer = cast(LearnableFakeQuantize, self.input)
        others = torch.zeros_like(self.weight[0])
        if self.channel_shift is not None:
            others = self.channel_shift * quantizer.log_scale.exp()
        if self.prefix_channel_shift is None or quantizer.log_prefix_scale is None:
            return others[None]
        scale, mean = quantizer.log_prefix_scale.exp(), self.rescaled_input(self.prefix_mean)
        return torch.cat([self.prefix_channel_shift * scale - mean, others[None]])

    def input_shift(self, shift: Tensor) -> Tensor:
        """The same in units of the input that the layer is given in training."""
        if self.rescale is None or self.rescale.fold_target is FoldTarget.LINEAR:
            return shift
        return shift * self.rescale.factor()

    def dequantized_input(self, x: Tensor) -> Tensor:
        """The input (..., I) as the matmul sees it: rescaled and rounded, the shift undone."""
        q = self.input_qparams(x)
        if q is None:
            return x
        if not self.has_shift:
            return fake_quantize_forward(x, q)
        shift = self.shift_in_rescaled_units()
        shifted = x + expand_to_tokens(self.input_shift(shift), num_tokens(x))
        return fake_quantize_forward(shifted, q) - expand_to_tokens(shift, num_tokens(x))

    @torch.no_grad()
    def calibrate_activation(self, inputs: Tensor, prefix_rows: Tensor | None = None) -> None:
        """As for every layer."""
        super().calibrate_activation(inputs)
        if self.prefix_channel_shift is None or prefix_rows is None or self.input is None:
            return
        self.prefix_mean.copy_(prefix_rows.mean(0))
        varying = self.rescaled_input(prefix_rows - self.prefix_mean)
        weight, zero_point = self.rescaled_weight(), self.input.prefix_qparams().zero_point
        # The level that the mean is to be at; the zero point may belong to the other rows.
        grid = self.prefix.grid or self.input.grid
        middle = (grid.qmin + grid.qmax + 1) // 2
        self.input.calibrate_prefix(varying, lambda difference: difference @ weight.mT, middle)
        self.prefix_channel_shift.copy_((middle - zero_point).expand_as(self.prefix_mean))

    def calibrate_input(self, inputs: Tensor, weight: Tensor) -> None:
        """As for every layer. The shift takes the lowest value of the sample up to zero, or part of
        the way: where the variance of the output's error is least; its mean the bias takes up.
        """
        if self.channel_shift is None or self.input is None:
            super().calibrate_input(inputs, weight)
            return
        rows = inputs[:: max(1, len(inputs) // 1024)]
        exact = self.rescaled_input(rows)
        found = []
        for fraction in _FRACTIONS:
            shift = inputs.min().clamp_max(0.0) * -fraction
            super().calibrate_input(inputs + shift, weight)
            scale = self.input.log_scale.exp()
            self.channel_shift.copy_(self.rescaled_input(shift) / scale)
            error = ((self.dequantized_input(rows) - exact) @ weight.mT).var(0).sum().item()
            found.append((error, [t.clone() for t in self.calibrated_tensors()]))
        best = min(found, key=lambda pair: pair[0])[1]
        for tensor, value in zip(self.calibrated_tensors(), best, strict=True):
            tensor.copy_(value)

    def calibrated_tensors(self) -> list[Tensor]:
        tensors = super().calibrated_tensors()
        if self.channel_shift is not None:
            tensors.append(self.channel_shift)
        if self.prefix_channel_shift is not None:
            tensors += [self.prefix_channel_shift, self.prefix_mean]
        return tensors

    def output_multiplier(self) -> Tensor:
        """(out,): 1 / r of the later layer in the channels that feed it, 1 in the others."""
        if self.consumer is None:
            return torch.ones_like(self.weight[:, 0])
        reciprocal = self.consumer.reciprocal()
        before = reciprocal.new_ones(self.consumer_start)
        after = reciprocal.new_ones(len(self.weight) - len(before) - len(reciprocal))
        return torch.cat([before, reciprocal, after])

    @torch.no_grad()
    def convert(self) -> IntLinear:
        """The layer as it is stored, rescaling of later layers folded in."""
        integer = IntLinear(
            tuple(self.weight.shape),
            bias=self.bias is not None,
            weight=self.grid,
            activation=None if self.input is None else self.input.grid,
            multiplier=self.rescale is not None and self.rescale.fold_target is FoldTarget.NONE,
            shift=self.channel_shift is not None,
            prefix=self.prefix,
        )
        self.write_to(integer)
        if self.consumer is not None:
            integer.scale.mul_(self.output_multiplier())
            if integer.bias is not None:
                integer.bias.mul_(self.output_multiplier())
        if self.has_shift:
            self._write_shifts_to(integer)
        return integer

    def _write_shifts_to(self, integer: IntLinear) -> None:
        shift = self.shift_in_rescaled_units()
        unit = torch.ones_like(shift[0])
        if self.rescale is not None and self.rescale.fold_target is FoldTarget.NONE:
            unit = self.rescale.factor()
        output = shift @ integer.weight.mT
        if integer.prefix_shift is not None and integer.prefix_bias is not None:
            integer.prefix_shift.copy_(shift[:-1] * unit)
            integer.prefix_bias.copy_(output[-1] - output[:-1])
        if integer.shift is not None and integer.bias is not None:
            integer.shift.copy_(shift[-1] * unit)
            integer.bias.sub_(output[-1])
