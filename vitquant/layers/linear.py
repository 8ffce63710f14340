"""The quantized Linear, as it is trained and as it is stored."""

import torch
from torch import Tensor, nn

from vitquant.layers.rescale import Rescale, Site
from vitquant.layers.weight import IntegerWeight, LearnedWeight
from vitquant.quantizers.grid import Grid
from vitquant.quantizers.matmul import quantized_matmul
from vitquant.quantizers.per_tensor import fake_quantize

# How far up the lowest value of a sample may be moved, as shares of the way to zero.
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


class IntegerLinear(IntegerWeight):
    """A Linear of stored integers. Computes what integer kernels compute, in float arithmetic."""

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
        x = x if self.shift is None else x + self.shift
        out = quantized_matmul(x, self.weight.mT, self.input_parameters(), None)
        return out if bias is None else out + bias


class LearnedLinear(LearnedWeight):
    """``(x / r) @ (W * r).T + b`` with both operands fake-quantized.

    ``consumer`` is set where a later Linear's rescaling folds into some of this layer's output
    channels: the values of an attention, in front of its output projection.

    ``offset`` (I,), in levels, moves each input channel against the grid, and its product with the
    weight is subtracted again: a zero point for each channel that need not be an integer.
    """

    def __init__(self, layer: nn.Linear, weight: Grid, activation: Grid | None) -> None:
        super().__init__(layer, weight, activation)
        self.consumer: Rescale | None = None
        self.consumer_start = 0
        self.offset: nn.Parameter | None = None

    def add_offset(self) -> None:
        """Give a layer with a bias, and rescaling in front of its quantizer, an offset of 0."""
        self.offset = nn.Parameter(torch.zeros_like(self.weight[0]))

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
        if self.offset is not None:
            x = x + self.shift()
            # Not a product: those are of half precision in training.
            bias = bias - (weight * self.moved()).sum(1)
        out = quantized_matmul(x, weight.mT, self.input_parameters(), None)
        return out if bias is None else out + bias

    def moved(self) -> Tensor:
        """(I,): the offset in units of the rescaled input."""
        assert self.offset is not None
        return self.offset * self.input_parameters().scale

    def shift(self) -> Tensor:
        """(I,): the offset in units of the input."""
        return self.moved() * self.rescale.factor()

    def seen(self, x: Tensor) -> Tensor:
        """The input (..., I) as the product sees it: rescaled and rounded, the offset undone."""
        q = self.input_parameters()
        if self.offset is None:
            return x if q is None else fake_quantize(x, q)
        return fake_quantize(x + self.shift(), q) - self.moved()

    def calibrate_input(self, inputs: Tensor, weight: Tensor) -> None:
        """As for every weight. The offset moves the lowest value of the sample up to zero, or part
        of the way: where the output varies least from what it should be, its mean aside, which the
        bias takes up.
        """
        if self.offset is None:
            super().calibrate_input(inputs, weight)
            return
        rows = inputs[:: max(1, len(inputs) // 1024)]
        exact = rows * self.rescale.reciprocal()
        found = []
        for share in _SHARES:
            shift = inputs.min().clamp_max(0.0) * -share
            super().calibrate_input(inputs + shift, weight)
            scale = self.input.log_scale.exp()
            self.offset.copy_(shift * self.rescale.reciprocal() / scale)
            error = (self.seen(rows) - exact) @ weight.mT
            found.append((error.var(0).sum().item(), [t.clone() for t in self.searched()]))
        best = min(found, key=lambda pair: pair[0])[1]
        for tensor, value in zip(self.searched(), best, strict=True):
            tensor.copy_(value)

    def searched(self) -> list[Tensor]:
        return [*super().searched(), *([] if self.offset is None else [self.offset])]

    def output_multiplier(self) -> Tensor:
        """(out,): 1 / r of the later layer in the channels that feed it, 1 in the others."""
        assert self.consumer is not None
        reciprocal = self.consumer.reciprocal()
        before = reciprocal.new_ones(self.consumer_start)
        after = reciprocal.new_ones(self.out_features - len(before) - len(reciprocal))
        return torch.cat([before, reciprocal, after])

    @torch.no_grad()
    def integer(self) -> IntegerLinear:
        """The layer as it is stored, rescaling of later layers folded in."""
        integer = IntegerLinear(
            tuple(self.weight.shape),
            bias=self.bias is not None,
            weight=self.grid,
            activation=None if self.input is None else self.input.grid,
            multiplier=self.rescale is not None and self.rescale.site is Site.STORED,
            shift=self.offset is not None,
        )
        self.store_in(integer)
        if self.consumer is not None:
            integer.scale.mul_(self.output_multiplier())
            if integer.bias is not None:
                integer.bias.mul_(self.output_multiplier())
            integer.refresh()
        if self.offset is not None:
            integer.shift.copy_(self.shift())
            integer.bias.sub_(integer.weight @ self.moved())
        return integer
