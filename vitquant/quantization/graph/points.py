"""What there is to quantize in a model, found by running it rather than by knowing its class."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from vitquant.core.errors import UserError
from vitquant.models.adapter import TokenLayout
from vitquant.models.model import example_inputs as example_inputs
from vitquant.quantization.graph.trace import trace

_ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)


@dataclass(frozen=True)
class LayerPoint:
    """A Linear or Conv2d, by the name of its module.

    prefix_tokens: how many class tokens and registers are in front of the patches among the rows of
    a Linear's input.
    """

    name: str
    kind: Literal["linear", "conv2d"]
    prefix_tokens: int = 0


@dataclass(frozen=True)
class MatmulPoint:
    """The ``index``-th matmul of two activations inside ``module``.

    heads: how many the left operand has, if that is the attention weights; 0 otherwise.
    prefix_tokens: as of a layer, among the rows of the left operand.
    """

    module: str
    index: int
    heads: int = 0
    prefix_tokens: int = 0

    @property
    def key(self) -> tuple[str, int]:
        return self.module, self.index

    @property
    def name(self) -> str:
        """As reports and patterns have it."""
        return f"{self.module}.products.{self.index}".lstrip(".")


@dataclass(frozen=True)
class QuantizationPoints:
    """What there is to quantize in a model, by the names of its modules.

    layers: every Linear and Conv2d that is executed, in order of execution.
    matmuls: every matmul of two activations, in order of execution.
    blocks: the transformer blocks, whose outputs are the features to distil.
    functional: Linears whose weight another module uses through F.linear, with that module's name.
    constant: Linears whose input is the same for every image, such as Swin V2's position bias.
    unsupported: why a module's arithmetic stays float, by its name.
    stem: the layer that sees the image, whether it is to be quantized or not; empty where a model
        reads texts.
    kept: what is none of these because it is to stay float: names of layers, of modules with an
        unsupported operation, and of the ``products`` of modules with matmuls.
    """

    layers: tuple[LayerPoint, ...]
    matmuls: tuple[MatmulPoint, ...]
    blocks: tuple[str, ...]
    functional: Mapping[str, str]
    constant: tuple[str, ...]
    unsupported: Mapping[str, str]
    stem: str = ""
    kept: tuple[str, ...] = ()

    @property
    def attentions(self) -> tuple[str, ...]:
        """The modules that multiply activations, in order of execution."""
        return tuple(dict.fromkeys(point.module for point in self.matmuls))

    @property
    def has_prefix_tokens(self) -> bool:
        counts = [p.prefix_tokens for p in self.layers] + [p.prefix_tokens for p in self.matmuls]
        return any(counts)


def find_points(
    model: nn.Module, images: Tensor, tokens: TokenLayout | None = None
) -> QuantizationPoints:
    """Find the points of a float model in eval mode from two forward passes on ``images``.

    In place of images, tokens (B, L) int64 of texts that are all different.

    tokens: which rows of an activation are tokens in front of the patches; by default none.
    """
    tokens = tokens or TokenLayout()
    first, second = _Recorder(model, tokens), _Recorder(model, tokens)
    trace(model, images, first)
    reads_text = not images.is_floating_point()
    trace(model, images.flip(0) if reads_text else images.flip(-1) * 0.5, second)
    constant = [n for n in first.layers if torch.equal(first.inputs[n], second.inputs[n])]
    layers = tuple(point for name, point in first.layers.items() if name not in constant)
    matmuls = tuple(
        # Attention weights for some images that are none for others were none.
        point if point == second.matmuls.get(key) else MatmulPoint(*key, 0, point.prefix_tokens)
        for key, point in first.matmuls.items()
    )
    attentions = list(dict.fromkeys(point.module for point in matmuls))
    hidden = _hidden_attentions(model, [point.name for point in layers], attentions)
    hidden = {name: why for name, why in hidden.items() if name not in first.unsupported}
    return QuantizationPoints(
        layers=layers,
        matmuls=matmuls,
        blocks=tuple(find_blocks(model, attentions)),
        functional=first.functional,
        constant=tuple(constant),
        unsupported=first.unsupported | hidden,
        stem=layers[0].name if layers and not reads_text else "",
    )


def check_supported(model: nn.Module, points: QuantizationPoints) -> None:
    """Raise a UserError that names the class of the first module which cannot be quantized."""
    for name, why in points.unsupported.items():
        cls = type(model.get_submodule(name)).__name__
        others = len(points.unsupported) - 1
        more = f" ({others} more parts such as this)" if others else ""
        keep = ", or --keep-float and its name" if name else ""
        raise UserError(
            f"--allow-float: {cls} ({name or 'the model itself'}) uses {why}, which cannot be "
            f"quantized{more}; with --allow-float{keep}, everything else is, and this part stays "
            f"float"
        )


def find_blocks(model: nn.Module, attentions: Iterable[str]) -> list[str]:
    """The innermost elements of a ModuleList or Sequential around each attention."""
    blocks: dict[str, None] = {}
    for attention in attentions:
        parts = attention.split(".")
        for depth in range(len(parts), 0, -1):
            parent = model.get_submodule(".".join(parts[: depth - 1]))
            if isinstance(parent, (nn.ModuleList, nn.Sequential)):
                blocks[".".join(parts[:depth])] = None
                break
    return list(blocks)


class _Recorder:
    def __init__(self, model: nn.Module, tokens: TokenLayout) -> None:
        self.model = model
        self.tokens = tokens
        self.layers: dict[str, LayerPoint] = {}
        self.matmuls: dict[tuple[str, int], MatmulPoint] = {}
        self.functional: dict[str, str] = {}
        self.unsupported: dict[str, str] = {}
        self.inputs: dict[str, Tensor] = {}

    def on_layer(self, layer: str, caller: str, x: Tensor) -> None:
        if layer not in self.layers:
            self.inputs[layer] = x[:1].clone()
            if isinstance(self.model.get_submodule(layer), nn.Conv2d):
                self.layers[layer] = LayerPoint(layer, "conv2d")
            else:
                self.layers[layer] = LayerPoint(layer, "linear", self.tokens.num_prefix(x))
        if caller != layer:
            self.functional[layer] = caller

    def on_matmul(self, caller: str, index: int, left: Tensor, right: Tensor) -> None:
        # The output of softmax is known by being (B, heads, M, K) and never negative.
        is_weights = left.dim() == 4 and left.shape[1] > 1 and bool(left.min() >= 0)
        heads, prefix = left.shape[1] if is_weights else 0, self.tokens.num_prefix(left)
        self.matmuls[caller, index] = MatmulPoint(caller, index, heads, prefix)

    def on_unsupported(self, caller: str, what: str) -> None:
        self.unsupported[caller] = what


def _hidden_attentions(
    model: nn.Module, layers: list[str], attentions: list[str]
) -> dict[str, str]:
    """Attentions in which no matmul was seen compute it where nobody can look."""
    hidden = {}
    for name, module in model.named_modules():
        inside = [a for a in attentions if a == name or a.startswith(f"{name}.")]
        runs = any(layer.startswith(f"{name}.") for layer in layers)
        if _ATTENTION.search(type(module).__name__) and runs and not inside:
            hidden[name] = "an attention without a visible matmul"
    return hidden
