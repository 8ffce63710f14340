"""What running a network cannot tell about it: the one place that asks a library's models."""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor, nn

Forward = Callable[[nn.Module, Tensor], Tensor]
"""From a network and images to its output as a tensor: ``ModelAdapter.forward``."""


@dataclass(frozen=True)
class TokenLayout:
    """The rows of a model's activations, in order: class tokens, registers, patches.

    patches: 0 where the tokens do not stay in one row, as in a Swin. pools_class: whether the
    answer is read off the class tokens.
    """

    class_tokens: int = 0
    registers: int = 0
    patches: int = 0
    pools_class: bool = False

    @property
    def num_prefix_tokens(self) -> int:
        return self.class_tokens + self.registers

    def num_prefix(self, x: Tensor) -> int:
        """How many rows at the front of an activation ``x`` (B, ..., N, C) are not patches'.

        0 where a model has none such tokens, or the rows of ``x`` are not its tokens.
        """
        prefix = self.num_prefix_tokens
        if not prefix or not self.patches or x.dim() < 3:
            return 0
        return prefix if x.shape[-2] == self.patches + prefix else 0

    def weights(self, x: Tensor) -> Tensor | None:
        """Weights (N, 1) of the tokens of an activation ``x`` (B, N, C), mean 1; None if all equal.

        Where a model reads its answer off class tokens, those weigh as much as all the others
        together. A model that averages its tokens, or whose tokens do not stay in one row, cares
        for all alike.
        """
        leading = self.class_tokens if self.num_prefix(x) else 0
        if not self.pools_class or leading < 1 or x.dim() != 3:
            return None
        weights = torch.full((x.shape[1], 1), 0.5 / (x.shape[1] - leading), device=x.device)
        weights[:leading] = 0.5 / leading
        return weights * x.shape[1]


@dataclass
class ResidualStream:
    """The parts of a ViT that adds to its tokens what follows a LayerNorm, and nothing else.

    width: channels of a token. parameters: what is added to the tokens, (..., width). readers:
    normalizations of the stream, each with the Linears that see nothing else. writers: layers whose
    output is added to the stream, with the factors (width,) that multiply it first, or None.
    attentions: the joint projection of queries, keys and values, the output's, the number of heads.
    """

    width: int
    parameters: list[nn.Parameter] = field(default_factory=list)
    readers: list[tuple[nn.LayerNorm, list[nn.Linear]]] = field(default_factory=list)
    writers: list[tuple[nn.Linear | nn.Conv2d, nn.Parameter | None]] = field(default_factory=list)
    attentions: list[tuple[nn.Linear, nn.Linear, int]] = field(default_factory=list)


class ModelAdapter(Protocol):
    """How the models of one library answer. ``module`` is a float network or its quantized copy.

    A network takes images (B, C, H, W) as its one positional argument and returns what it likes.
    """

    source: str
    """What a checkpoint says of where the model is from: the key of the adapter."""

    def forward(self, module: nn.Module, images: Tensor) -> Tensor:
        """Logits (B, classes), or for a model without a classifier its output (B, ...)."""
        ...

    def features(self, module: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, classes) and what the classifier saw (B, D)."""
        ...

    def num_classes(self, module: nn.Module) -> int:
        """How many logits there are; 0 without a classifier."""
        ...

    def classifier_names(self, module: nn.Module) -> set[str]:
        """Names of the layers that give the logits: one, two if distilled, or none."""
        ...

    def tokens(self, module: nn.Module) -> TokenLayout: ...

    def residual_stream(self, module: nn.Module) -> ResidualStream | None:
        """Its parts, or None if the network is not known to be made of them."""
        ...

    def transform(self, preprocessing: dict[str, Any]) -> Callable[[Image.Image], Tensor]:
        """The evaluation transform: PIL image → (C, H, W) float32.

        It takes tensors (B, C, H, W) from 0 to 1 too, and is differentiable for them.
        preprocessing: see :class:`vitquant.models.model.Model`.
        """
        ...

    def grad_checkpointing(self, module: nn.Module) -> AbstractContextManager[None] | None:
        """A context with activation checkpointing in training; None if the network has none."""
        ...

    def decomposed_attention(
        self, module: nn.Module, skip: Collection[nn.Module] = ()
    ) -> AbstractContextManager[None]:
        """A context in which attention computes by single operations, but in ``skip`` as before."""
        ...

    def rebuild(self, architecture: str, arguments: dict[str, Any]) -> nn.Module:
        """The float network with random weights, in eval mode, from what its identity says.

        Raises:
            UserError: what is installed does not know it.
        """
        ...
