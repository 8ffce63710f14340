"""The quantized Linear, as it is trained and as it is stored."""

import torch
from torch import Tensor, nn

from vitquant.layers.rescale import Rescale, Site
from vitquant.layers.rows import count, spread
from vitquant.layers.weight import IntegerWeight, LearnedWeight
from vitquant.quantizers.grid import NO_FRONT, Front, Grid
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
        if self.lowering is not None:
            return self.lowering(x, bias)
        shift = self.shift
        if self.prefix_shift is not None:
            shift = spread(_table(self.prefix_shift, shift), count(x))
            front = self.prefix_bias if bias is None else self.prefix_bias + bias
            bias = spread(_table(front, bias), count(x))
        x = x if shift is None else x + shift
        out = quantized_matmul(x, self.weight.mT, self.input_parameters(x), None)
        return out if bias is None else out + bias


def _table(front: Tensor, others: Tensor | None) -> Tensor:
    """(P + 1, C): ``front`` (P, C) and, last, ``others`` (C,), or zeros."""
    others = torch.zeros_like(front[0]) if others is None else others
    return torch.cat([front, others[None]])


class LearnedLinear(LearnedWeight):
    """``(x / r) @ (W * r).T + b`` with both operands fake-quantized.

    ``consumer`` is set where a later Linear's rescaling folds into some of this layer's output
    channels: the values of an attention, in front of its output projection.

    ``offset`` (I,), in levels, moves each input channel against the grid, and its product with the
    weight is subtracted again: a zero point for each channel that need not be an integer.

    Rows at the front, those of the class token, are moved by ``-center`` (P, I), in units of the
    input, and by ``prefix_offset`` (P, I), in levels of theirs, and have scales of their own. What
    a class token holds in most blocks is the same for all images but for a small part; a grid that
    lies around the mean of a channel spends its levels on that part.
    """

    def __init__(
        self,
        layer: nn.Linear,
        weight: Grid,
        activation: Grid | None,
        front: Front = NO_FRONT,
    ) -> None:
        super().__init__(layer, weight, activation, front)
        self.consumer: Rescale | None = None
        self.consumer_start = 0
        self.offset: nn.Parameter | None = None
        self.prefix_offset: nn.Parameter | None = None
        if self.front.count:
            zeros = torch.zeros(front.count, self.in_features)
            self.prefix_offset = nn.Parameter(zeros)
            self.register_buffer("center", zeros.clone(), persistent=False)

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
        if self.moves:
            moved = self.moved()
            x = x + spread(self.shift(moved), count(x))
            # Products are of half precision in training; this one is as small as it matters.
            with torch.autocast(x.device.type, enabled=False):
                undone = quantized_matmul(moved, weight.mT, None, None)
            bias = spread(-undone if bias is None else bias - undone, count(x))
        out = quantized_matmul(x, weight.mT, self.input_parameters(x), None)
        return out if bias is None else out + bias

    @property
    def moves(self) -> bool:
        """Whether something is added to the input in front of the quantizer."""
        return self.offset is not None or self.prefix_offset is not None

    def moved(self) -> Tensor:
        """(P + 1, I): what is added to rows at the front and, last, to all others.

        In units of the rescaled input.
        """
        scale = self.input.log_scale.exp()
        others = torch.zeros_like(self.weight[0]) if self.offset is None else self.offset * scale
        if self.prefix_offset is None:
            return others[None]
        center = self.center if self.rescale is None else self.center * self.rescale.reciprocal()
        front = self.prefix_offset * self.input.log_prefix.exp() - center
        return torch.cat([front, others[None]])

    def shift(self, moved: Tensor) -> Tensor:
        """What is added, in units of the input that the layer is given in training."""
        return moved if self.input_multiplier() is None else moved * self.rescale.factor()

    def seen(self, x: Tensor) -> Tensor:
        """The input (..., I) as the product sees it: rescaled and rounded, what is added undone."""
        q = self.input_parameters(x)
        if not self.moves:
            return x if q is None else fake_quantize(x, q)
        moved = self.moved()
        shifted = x + spread(self.shift(moved), count(x))
        return fake_quantize(shifted, q) - spread(moved, count(x))

    @torch.no_grad()
    def calibrate(self, inputs: Tensor, leading: Tensor | None = None) -> None:
        """As for every weight. leading: (B, P, I), a sample of the rows at the front."""
        super().calibrate(inputs)
        if self.prefix_offset is None or leading is None:
            return
        self.center.copy_(leading.mean(0))
        varying = leading - self.center
        varying = varying if self.rescale is None else varying * self.rescale.reciprocal()
        weight, q = self.rescaled_weight(), self.input.front_parameters()
        # The level that the mean is to be at; the zero point may belong to the other rows.
        middle = (q.grid.qmin + q.grid.qmax + 1) // 2
        self.input.calibrate_prefix(varying, lambda difference: difference @ weight.mT, middle)
        self.prefix_offset.copy_((middle - q.zero_point).expand_as(self.center))

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
        moving = [] if self.offset is None else [self.offset]
        moving += [] if self.prefix_offset is None else [self.prefix_offset, self.center]
        return [*super().searched(), *moving]

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
            front=self.front,
        )
        self.store_in(integer)
        if self.consumer is not None:
            integer.scale.mul_(self.output_multiplier())
            if integer.bias is not None:
                integer.bias.mul_(self.output_multiplier())
            integer.refresh()
        if self.moves:
            self._store_moves(integer)
        return integer

    def _store_moves(self, integer: IntegerLinear) -> None:
        moved = self.moved()
        stored = self.rescale is not None and self.rescale.site is Site.STORED
        unit = self.rescale.factor() if stored else torch.ones_like(moved[0])
        if self.prefix_offset is not None:
            integer.prefix_shift.copy_(moved[:-1] * unit)
        undone = moved @ integer.weight.mT
        if self.offset is not None:
            integer.shift.copy_(moved[-1] * unit)
            integer.bias.sub_(undone[-1])
        if self.prefix_offset is not None:
            integer.prefix_bias.copy_(undone[-1] - undone[:-1])
