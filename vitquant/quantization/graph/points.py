"""How a model is wired, found out by running it rather than by knowing its class."""

import re
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from vitquant.core.errors import UserError
from vitquant.models.adapter import TokenLayout
from vitquant.quantization.graph.trace import trace

_ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)


@dataclass
class QuantizationPoints:
    """What there is to quantize in a model, by the names of its modules.

    layers: every Linear and Conv2d that is executed, in order of execution.
    products: for each module that multiplies activations, how many products it computes.
    heads: of attention weights, by the module and the product whose left operand they are.
    prefix: how many tokens in front of the patches, class tokens and registers, are among the rows
        of a layer's input, by its name, and of a product's left operand, as for heads.
    blocks: the transformer blocks, whose outputs are the features to distil.
    functional: Linears whose weight another module uses through F.linear, with that module's name.
    constant: Linears whose input is the same for every image, such as Swin V2's position bias.
    unsupported: why a module's precision stays float, by its name.
    """

    layers: list[str] = field(default_factory=list)
    products: dict[str, int] = field(default_factory=dict)
    heads: dict[tuple[str, int], int] = field(default_factory=dict)
    prefix: dict[str | tuple[str, int], int] = field(default_factory=dict)
    blocks: list[str] = field(default_factory=list)
    functional: dict[str, str] = field(default_factory=dict)
    constant: list[str] = field(default_factory=list)
    unsupported: dict[str, str] = field(default_factory=dict)


def find_points(
    model: nn.Module, images: Tensor, tokens: TokenLayout | None = None
) -> QuantizationPoints:
    """Find the points of a float model in eval mode from two forward passes on ``images``.

    tokens: which rows of an activation are tokens in front of the patches; by default none.
    """
    tokens = tokens or TokenLayout()
    first, second = _Recorder(tokens), _Recorder(tokens)
    trace(model, images, first)
    trace(model, images.flip(-1) * 0.5, second)
    found = first.found
    found.constant = [n for n in found.layers if torch.equal(first.inputs[n], second.inputs[n])]
    found.layers = [n for n in found.layers if n not in found.constant]
    found.heads = dict(first.found.heads.items() & second.found.heads.items())
    _find_unreached_attention(model, found)
    found.blocks = _blocks(model, found)
    return found


def check_supported(model: nn.Module, points: QuantizationPoints) -> None:
    """Raise a UserError that names the class of the first module which cannot be quantized."""
    for name, why in points.unsupported.items():
        cls = type(model.get_submodule(name)).__name__
        raise UserError(
            f"--allow-float: {cls} ({name or 'the model itself'}) uses {why}, which cannot be "
            f"quantized; with --allow-float everything else is, and this part stays float"
        )


class _Recorder:
    def __init__(self, tokens: TokenLayout) -> None:
        self.tokens = tokens
        self.found = QuantizationPoints()
        self.inputs: dict[str, Tensor] = {}

    def on_layer(self, layer: str, caller: str, x: Tensor) -> None:
        if layer not in self.found.layers:
            self.found.layers.append(layer)
            self.inputs[layer] = x[:1].clone()
            self._rows(layer, x)
        if caller != layer:
            self.found.functional[layer] = caller

    def on_matmul(self, caller: str, index: int, left: Tensor, right: Tensor) -> None:
        self.found.products[caller] = index + 1
        # What softmax puts out is known by its being (B, heads, M, K) and never negative.
        if left.dim() == 4 and left.shape[1] > 1 and left.min() >= 0:
            self.found.heads[caller, index] = left.shape[1]
        self._rows((caller, index), left)

    def _rows(self, place: str | tuple[str, int], x: Tensor) -> None:
        if prefix := self.tokens.num_prefix(x):
            self.found.prefix[place] = prefix

    def on_unsupported(self, caller: str, what: str) -> None:
        self.found.unsupported[caller] = what


def _find_unreached_attention(model: nn.Module, found: QuantizationPoints) -> None:
    """An attention in which no product was seen computes it where nobody can look."""
    for name, module in model.named_modules():
        inside = [p for p in found.products if p == name or p.startswith(f"{name}.")]
        runs = any(layer.startswith(f"{name}.") for layer in found.layers)
        if _ATTENTION.search(type(module).__name__) and runs and not inside:
            found.unsupported.setdefault(name, "an attention without a visible product")


def _blocks(model: nn.Module, found: QuantizationPoints) -> list[str]:
    """The innermost elements of a ModuleList or Sequential around each product."""
    blocks: dict[str, None] = {}
    for product in found.products:
        parts = product.split(".")
        for depth in range(len(parts), 0, -1):
            parent = model.get_submodule(".".join(parts[: depth - 1]))
            if isinstance(parent, (nn.ModuleList, nn.Sequential)):
                blocks[".".join(parts[:depth])] = None
                break
    return list(blocks)


def example_inputs(size: tuple[int, ...], seed: int = 0) -> Tensor:
    """(2, C, H, W) of Gaussian noise: enough to see which modules run."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, *size, generator=generator)
