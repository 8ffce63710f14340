"""What running a network cannot tell about it: the one place that asks a library's models."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import timm
import torch
from PIL import Image
from torch import Tensor, nn

from vitquant.core.errors import UserError

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""Modes of Pillow, by how many channels they have."""
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


class ModelAdapter:
    """How the models of one library answer. ``module`` is a float network or its quantized copy.

    A network takes images (B, C, H, W) as its one positional argument and returns what it likes.
    A library's own adapter overrides what running a network cannot tell.
    """

    source: str
    """What a checkpoint says of where the model is from: the key of the adapter."""

    def output(self, returned: Any) -> Tensor:
        """Of what a network returns: logits (B, classes), or without a classifier (B, ...)."""
        tensor: Tensor = returned
        return tensor

    def forward(self, module: nn.Module, images: Tensor) -> Tensor:
        """The output of a network for images (B, C, H, W)."""
        return self.output(module(images))

    def features(self, module: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, classes) and what the classifier saw (B, D); of two, what the first saw."""
        names, seen = self.classifier_names(module), []
        classifier = next(m for name, m in module.named_modules() if name in names)
        handle = classifier.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        try:
            return self.forward(module, images), seen[0]
        finally:
            handle.remove()

    def num_classes(self, module: nn.Module) -> int:
        """How many logits there are; 0 without a classifier."""
        return 0

    def classifier_names(self, module: nn.Module) -> set[str]:
        """Names of the layers that give the logits: one, two if distilled, or none."""
        return set()

    def tokens(self, module: nn.Module) -> TokenLayout:
        """What the rows of its activations are."""
        return TokenLayout()

    def residual_stream(self, module: nn.Module) -> ResidualStream | None:
        """Its parts, or None if the network is not known to be made of them."""
        return None

    def transform(self, preprocessing: dict[str, Any]) -> Callable[[Image.Image], Tensor]:
        """The evaluation transform: PIL image → (C, H, W) float32.

        It takes tensors (B, C, H, W) from 0 to 1 too, and is differentiable for them.
        preprocessing: see :class:`vitquant.models.model.Model`.

        Raises:
            UserError: it does not say what images go through.
        """
        if "mean" not in preprocessing:
            raise UserError(
                "transform: images go through a function in Python here, which no file holds; "
                "transform= of the functions in Python takes it"
            )
        made: Callable[[Image.Image], Tensor] = timm.data.create_transform(
            **preprocessing, is_training=False
        )
        mode = MODES.get(preprocessing["input_size"][0], "RGB")
        return made if mode == "RGB" else _InMode(mode, made)

    def grad_checkpointing(self, module: nn.Module) -> AbstractContextManager[None] | None:
        """A context with activation checkpointing in training; None if the network has none."""
        return None

    def without_caches(self, module: nn.Module) -> nn.Module:
        """The network itself, which keeps nothing in eval mode that training changes."""
        return module

    def rebuild(self, architecture: str, arguments: dict[str, Any]) -> nn.Module:
        """The float network with random weights, in eval mode, from what its identity says.

        Raises:
            UserError: what is installed does not know it.
        """
        raise NotImplementedError

    def check_can_be_saved(self) -> None:
        """Raise a UserError where :meth:`rebuild` could not read a checkpoint back."""

    def hub_config(self, module: nn.Module) -> dict[str, Any] | None:
        """The library's own ``config.json`` of a network; None where it is timm's."""
        return None


class _InMode:
    """A transform that is given PIL images in a mode of Pillow, and tensors as they are."""

    def __init__(self, mode: str, transform: Callable[[Image.Image], Tensor]) -> None:
        self.mode, self.transform = mode, transform

    def __call__(self, image: Image.Image) -> Tensor:
        return self.transform(image.convert(self.mode) if hasattr(image, "convert") else image)


@contextmanager
def switched(switch: Callable[[bool], None]) -> Iterator[None]:
    """A context in which something is on."""
    switch(True)
    try:
        yield
    finally:
        switch(False)
