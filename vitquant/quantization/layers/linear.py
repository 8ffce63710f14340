"""The quantized Linear, as it is trained and as it is stored."""

import torch
from torch import Tensor, nn

from vitquant.quantization.layers.base import ChannelRescale, FakeQuantLayer, FoldTarget, IntLayer
from vitquant.quantization.layers.prefix import expand_to_tokens, num_tokens
from vitquant.quantization.quantizers.affine import fake_quantize_forward
from vitquant.quantization.quantizers.grid import NO_PREFIX, Grid, PrefixFormat
from vitquant.quantization.quantizers.matmul import quantized_matmul

# How far up the lowest value of a sample may be moved, as shares of the way to zero.
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


class IntLinear(IntLayer):
    """A Linear of stored integers. Computes what integer kernels compute, in float precision."""

    @property
    def in_features(self) -> int:
        return self.codes.shape[1]

    @property
    def out_features(self) -> int:
        return self.codes.shape[0]

    def forward(self, x: Tensor) -> Tensor:
        return self.product(x, self.bias)

    def product(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """The layer with a given bias: some attentions call F.linear on ``weight`` themselves."""
        if self.lowering is not None:
            return self.lowering(x, bias)
        shift = self.shift
        if self.prefix_shift is not None:
            shift = expand_to_tokens(_table(self.prefix_shift, shift), num_tokens(x))
            prefix = self.prefix_bias if bias is None else self.prefix_bias + bias
            bias = expand_to_tokens(_table(prefix, bias), num_tokens(x))
        x = x if shift is None else x + shift
        out = quantized_matmul(x, self.weight.mT, self.input_qparams(x), None)
        return out if bias is None else out + bias


def _table(prefix: Tensor, others: Tensor | None) -> Tensor:
    """(P + 1, C): ``front`` (P, C) and, last, ``others`` (C,), or zeros."""
    others = torch.zeros_like(prefix[0]) if others is None else others
    return torch.cat([prefix, others[None]])


class FakeQuantLinear(FakeQuantLayer):
    """``(x / r) @ (W * r).T + b`` with both operands fake-quantized.

    ``consumer`` is set where a later Linear's rescaling folds into some of this layer's output
    channels: the values of an attention, in front of its output projection.

    ``channel_shift`` (I,), in levels, moves each input channel against the grid, and its product
    with the weight is subtracted again: a zero point for each channel that need not be an integer.

    The rows of class tokens and registers are shifted by ``-prefix_mean`` (P, I), in units of the
    input, and by ``prefix_channel_shift`` (P, I), in levels of their own grid, and have scales of
    their own. In most blocks a class token is the same for all images but for a small part; a grid
    around the mean of a channel spends its levels on that part.
    """

    def __init__(
        self,
        layer: nn.Linear,
        weight: Grid,
        activation: Grid | None,
        prefix: PrefixFormat = NO_PREFIX,
    ) -> None:
        super().__init__(layer, weight, activation, prefix)
        self.consumer: ChannelRescale | None = None
        self.consumer_start = 0
        self.channel_shift: nn.Parameter | None = None
        self.prefix_channel_shift: nn.Parameter | None = None
        if self.prefix.count:
            zeros = torch.zeros(prefix.count, self.in_features)
            self.prefix_channel_shift = nn.Parameter(zeros)
            self.register_buffer("prefix_mean", zeros.clone(), persistent=False)

    def add_channel_shift(self) -> None:
        """Give a layer with a bias, and rescaling in front of its quantizer, an offset of 0."""
        self.channel_shift = nn.Parameter(torch.zeros_like(self.weight[0]))

    @property
    def in_features(self) -> int:
        return self.weight.shape[1]

    @property
    def out_features(self) -> int:
        return self.weight.shape[0]

    def forward(self, x: Tensor) -> Tensor:
        return self.product(x, self.bias)

    def product(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """The layer with a given bias: some attentions call F.linear on ``weight`` themselves."""
        weight = self.quantized_weight()
        if self.consumer is not None:
            multiplier = self.output_multiplier()
            # Scaling the rows of the weight is what folding will do, and costs no pass over the
            # output.
            weight = weight * multiplier[:, None]
            bias = None if bias is None else bias * multiplier
        if self.has_shift:
            moved = self.shift_in_rescaled_units()
            x = x + expand_to_tokens(self.shift(moved), num_tokens(x))
            # Products are of half precision in training; this one is as small as it matters.
            with torch.autocast(x.device.type, enabled=False):
                undone = quantized_matmul(moved, weight.mT, None, None)
            bias = expand_to_tokens(-undone if bias is None else bias - undone, num_tokens(x))
        out = quantized_matmul(x, weight.mT, self.input_qparams(x), None)
        return out if bias is None else out + bias

    @property
    def has_shift(self) -> bool:
        """Whether something is added to the input in front of the quantizer."""
        return self.channel_shift is not None or self.prefix_channel_shift is not None

    def shift_in_rescaled_units(self) -> Tensor:
        """(P + 1, I): what is added to rows at the front and, last, to all others.

        In units of the rescaled input.
        """
        scale = self.input.log_scale.exp()
        others = (
            torch.zeros_like(self.weight[0])
            if self.channel_shift is None
            else self.channel_shift * scale
        )
        if self.prefix_channel_shift is None:
            return others[None]
        center = (
            self.prefix_mean
            if self.rescale is None
            else self.prefix_mean * self.rescale.reciprocal()
        )
        prefix = self.prefix_channel_shift * self.input.log_prefix_scale.exp() - center
        return torch.cat([prefix, others[None]])

    def shift(self, moved: Tensor) -> Tensor:
        """What is added, in units of the input that the layer is given in training."""
        return moved if self.input_multiplier() is None else moved * self.rescale.factor()

    def dequantized_input(self, x: Tensor) -> Tensor:
        """The input (..., I) as the product sees it: rescaled and rounded, what is added undone."""
        q = self.input_qparams(x)
        if not self.has_shift:
            return x if q is None else fake_quantize_forward(x, q)
        moved = self.shift_in_rescaled_units()
        shifted = x + expand_to_tokens(self.shift(moved), num_tokens(x))
        return fake_quantize_forward(shifted, q) - expand_to_tokens(moved, num_tokens(x))

    @torch.no_grad()
    def calibrate(self, inputs: Tensor, prefix_rows: Tensor | None = None) -> None:
        """As for every weight. leading: (B, P, I), a sample of the rows at the front."""
        super().calibrate(inputs)
        if self.prefix_channel_shift is None or prefix_rows is None:
            return
        self.prefix_mean.copy_(prefix_rows.mean(0))
        varying = prefix_rows - self.prefix_mean
        varying = varying if self.rescale is None else varying * self.rescale.reciprocal()
        weight, q = self.rescaled_weight(), self.input.prefix_qparams()
        # The level that the mean is to be at; the zero point may belong to the other rows.
        middle = (q.grid.qmin + q.grid.qmax + 1) // 2
        self.input.calibrate_prefix(varying, lambda difference: difference @ weight.mT, middle)
        self.prefix_channel_shift.copy_((middle - q.zero_point).expand_as(self.prefix_mean))

    def calibrate_input(self, inputs: Tensor, weight: Tensor) -> None:
        """As for every weight. The offset moves the lowest value of the sample up to zero, or part
        of the way: where the output varies least from what it should be, its mean aside, which the
        bias takes up.
        """
        if self.channel_shift is None:
            super().calibrate_input(inputs, weight)
            return
        rows = inputs[:: max(1, len(inputs) // 1024)]
        exact = rows * self.rescale.reciprocal()
        found = []
        for share in _SHARES:
            shift = inputs.min().clamp_max(0.0) * -share
            super().calibrate_input(inputs + shift, weight)
            scale = self.input.log_scale.exp()
            self.channel_shift.copy_(shift * self.rescale.reciprocal() / scale)
            error = (self.dequantized_input(rows) - exact) @ weight.mT
            found.append(
                (error.var(0).sum().item(), [t.clone() for t in self.calibrated_tensors()])
            )
        best = min(found, key=lambda pair: pair[0])[1]
        for tensor, value in zip(self.calibrated_tensors(), best, strict=True):
            tensor.copy_(value)

    def calibrated_tensors(self) -> list[Tensor]:
        moving = [] if self.channel_shift is None else [self.channel_shift]
        moving += (
            []
            if self.prefix_channel_shift is None
            else [self.prefix_channel_shift, self.prefix_mean]
        )
        return [*super().calibrated_tensors(), *moving]

    def output_multiplier(self) -> Tensor:
        """(out,): 1 / r of the later layer in the channels that feed it, 1 in the others."""
        assert self.consumer is not None
        reciprocal = self.consumer.reciprocal()
        before = reciprocal.new_ones(self.consumer_start)
        after = reciprocal.new_ones(self.out_features - len(before) - len(reciprocal))
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
            integer.refresh()
        if self.has_shift:
            self._write_shifts_to(integer)
        return integer

    def _write_shifts_to(self, integer: IntLinear) -> None:
        moved = self.shift_in_rescaled_units()
        stored = self.rescale is not None and self.rescale.fold_target is FoldTarget.NONE
        unit = self.rescale.factor() if stored else torch.ones_like(moved[0])
        if self.prefix_channel_shift is not None:
            integer.prefix_shift.copy_(moved[:-1] * unit)
        undone = moved @ integer.weight.mT
        if self.channel_shift is not None:
            integer.shift.copy_(moved[-1] * unit)
            integer.bias.sub_(undone[-1])
        if self.prefix_channel_shift is not None:
            integer.prefix_bias.copy_(undone[-1] - undone[:-1])
