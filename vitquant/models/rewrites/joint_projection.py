"""Queries, keys and values from one Linear in place of three with the same input.

One layer has one range of its input to quantize and one integer kernel to start. timm's attentions
have it; with it, those of transformers quantize to the same integers.
"""

import torch
from torch import Tensor, nn

_NAMES = (("q_proj", "k_proj", "v_proj"), ("query", "key", "value"))
"""What the three Linears of an attention are called in transformers."""


class JointProjection(nn.Module):
    """A Linear whose output channels are those of several, in place of the first of them.

    qkv: the Linear, (..., I) → (..., sum of the outputs).
    """

    def __init__(self, linears: list[nn.Linear]) -> None:
        super().__init__()
        self.widths = [linear.out_features for linear in linears]
        has_bias = any(linear.bias is not None for linear in linears)
        self.qkv = nn.Linear(linears[0].in_features, sum(self.widths), bias=has_bias)
        self.qkv.to(linears[0].weight)
        with torch.no_grad():
            self.qkv.weight.copy_(torch.cat([linear.weight.detach() for linear in linears]))
            if has_bias:
                biases = [
                    linear.weight.new_zeros(linear.out_features)
                    if linear.bias is None
                    else linear.bias.detach()
                    for linear in linears
                ]
                self.qkv.bias.copy_(torch.cat(biases))
        # What was computed for an input, until all parts of it have been asked for.
        self._input: Tensor | None = None
        self._parts: dict[int, Tensor] = {}

    def part(self, index: int, x: Tensor) -> Tensor:
        """What the ``index``-th of the Linears computes of ``x`` (..., I)."""
        if x is not self._input or index not in self._parts:
            self._input, self._parts = x, dict(enumerate(self.qkv(x).split(self.widths, -1)))
        part = self._parts.pop(index)
        if not self._parts:
            self._input = None
        return part

    def forward(self, x: Tensor) -> Tensor:
        return self.part(0, x)


class ProjectionPart(nn.Module):
    """The ``index``-th of the Linears that a JointProjection has taken in."""

    def __init__(self, joint: JointProjection, index: int) -> None:
        super().__init__()
        self._joint = (joint,)  # not a child: the network has it once
        self._index = index

    def forward(self, x: Tensor) -> Tensor:
        return self._joint[0].part(self._index, x)


def join_projections(network: nn.Module) -> None:
    """Give every attention with three projections of one width a JointProjection, in place."""
    for attention in list(network.modules()):
        for names in _NAMES:
            linears = [getattr(attention, name, None) for name in names]
            if not all(isinstance(linear, nn.Linear) for linear in linears):
                continue
            found = [linear for linear in linears if isinstance(linear, nn.Linear)]
            if len({linear.in_features for linear in found}) > 1:
                continue
            joint = JointProjection(found)
            setattr(attention, names[0], joint)
            for index, name in enumerate(names[1:], 1):
                setattr(attention, name, ProjectionPart(joint, index))
