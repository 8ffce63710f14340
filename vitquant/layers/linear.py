"""The quantized Linear, as it is trained and as it is stored."""

import torch
from torch import Tensor, nn

from vitquant.layers.rescale import Rescale, Site
from vitquant.layers.weight import IntegerWeight, LearnedWeight
from vitquant.quantizers.grid import Grid
from vitquant.quantizers.matmul import quantized_matmul


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
        out = quantized_matmul(x, self.weight.mT, self.input_parameters(), None)
        return out if bias is None else out + bias


class LearnedLinear(LearnedWeight):
    """``(x / r) @ (W * r).T + b`` with both operands fake-quantized.

    ``consumer`` is set where a later Linear's rescaling folds into some of this layer's output
    channels: the values of an attention, in front of its output projection.
    """

    def __init__(self, layer: nn.Linear, weight: Grid, activation: Grid | None) -> None:
        super().__init__(layer, weight, activation)
        self.consumer: Rescale | None = None
        self.consumer_start = 0

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
        out = quantized_matmul(x, weight.mT, self.input_parameters(), None)
        return out if bias is None else out + bias

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
        )
        self.store_in(integer)
        if self.consumer is not None:
            integer.scale.mul_(self.output_multiplier())
            if integer.bias is not None:
                integer.bias.mul_(self.output_multiplier())
            integer.refresh()
        return integer
