"""Correct a quantized model's layers one after the other, in closed form.

DFQ-ViT (Tong, Yuan, Zhang, Liu, Hu, arXiv 2507.14481) aligns the activations of a quantized model
with the float model's by an "activation correction matrix"; its authors have published no code.
This one goes through the Linears in the order in which they run, and each is corrected for the
input that the corrected layers before it give:

- its weight is rounded so that what an input channel loses the others make up for, by the second
  moments of the quantized input (GPTQ, arXiv 2210.17323). The correction is the matrix that takes
  the rounded weight W Q to the float one, and it is folded into W before it is stored;
- its bias takes up what is left of the difference between the mean outputs of the quantized and the
  float model (bias correction, Nagel et al., arXiv 1906.04721, section 4.2), unless the settings
  leave biases alone: means are those of the images, and of made ones they are not those of others.

A model that reads its answer off a class token cares little for most rows of an activation. There
the class token's row weighs as much as all patches' together, in the moments and in the mean.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vitquant.core import distributed
from vitquant.models.adapter import TokenLayout
from vitquant.quantization.graph.trace import trace
from vitquant.quantization.layers.linear import FakeQuantLinear
from vitquant.quantization.ptq.context import PTQContext
from vitquant.quantization.quantizers.gptq import gptq_round
from vitquant.quantization.quantizers.mse_search import search_per_channel

_ROWS = 1 << 14


@torch.no_grad()
def correct(context: PTQContext, student: nn.Module) -> None:
    """Correct every Linear of ``student``, in place.

    One forward pass of the context's first images through either model. Weights end on the grid of
    their scales, so that rounding again changes nothing: a checkpoint holds nothing more than that
    of an uncorrected model. Convolutions stay as they are, and the progress says how many.

    Args:
        student: with searched scales, and rescaling where there is any.
    """
    tokens = context.model.tokens
    wanted = _Means(context.float_model, tokens)
    trace(context.float_model, context.first_images, wanted)
    means = wanted.outputs(context.float_model)
    layers = {n: m for n, m in student.named_modules() if isinstance(m, FakeQuantLinear)}
    layers = {n: m for n, m in layers.items() if n in means}
    left = context.progress.track(range(len(layers)), len(layers), "correcting layers")
    settings = context.settings

    def before(name: str, layer: FakeQuantLinear, x: Tensor) -> None:
        next(left, None)
        weights = tokens.weights(x)
        target = means[name] if settings.correct_bias and layer.bias is not None else None
        _correct(layer, x, weights, target, settings.damping)

    with _stopping_at(layers, before):
        student(context.first_images)
    next(left, None)  # closes the bar
    others = len(context.points.layers) - len(layers)
    context.progress.say(
        f"{len(layers)} layers corrected" + (f", {others} convolutions not" if others else "")
    )


def _correct(
    layer: FakeQuantLinear, x: Tensor, weights: Tensor | None, wanted: Tensor | None, damping: float
) -> None:
    """Round the layer's weight for its input ``x`` (..., I) and set its bias.

    weights: of the rows of ``x``, (..., 1), or None where all weigh the same. wanted: (O,), the
    mean output of the float layer, or None to leave the bias alone. damping: what is added to the
    moments' diagonal, as a share of its mean.
    """
    count, total, moments = _sums(x, layer, weights)
    distributed.all_reduce([moments, total, count])
    mean, moments = total / count, moments / count
    # What the bias can take up need not be made up for by weights.
    if wanted is not None:
        moments -= mean[:, None] * mean
    spread = moments.diag().mean().clamp_min(1e-12)
    moments.diagonal().add_(damping * spread)
    weight = layer.rescaled_weight()
    scale = search_per_channel(weight, layer.grid)
    layer.log_scale.copy_(scale.log())
    scale = layer.log_scale.exp()
    rounded = gptq_round(weight, scale, layer.grid, moments) * scale[:, None]
    layer.weight.copy_(rounded if layer.rescale is None else rounded * layer.rescale.reciprocal())
    if wanted is not None:
        layer.bias.copy_(wanted - rounded.double() @ mean)


def _sums(
    x: Tensor, layer: FakeQuantLinear, weights: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Number of rows (), their sum (I,) and that of their x xᵀ (I, I), as the product sees them."""
    each = x.new_ones(1) if weights is None else weights
    each = each.expand(*x.shape[:-1], 1).flatten()[:, None]
    total = torch.zeros(x.shape[-1], dtype=torch.double, device=x.device)
    moments = total.new_zeros(len(total), len(total))
    images = max(1, _ROWS // max(1, x[0].numel() // x.shape[-1]))
    shares = each.view(len(x), -1, 1).split(images)
    for part, share in zip(x.split(images), shares, strict=True):
        value, share = layer.dequantized_input(part).flatten(0, -2), share.flatten(0, 1)
        weighed = (value * share).double()
        total += weighed.sum(0)
        moments += weighed.T @ value.double()
    return each.double().sum(), total, moments


class _Means:
    """Watches a float model: the mean of each layer's input, rows weighed by their tokens."""

    def __init__(self, model: nn.Module, tokens: TokenLayout) -> None:
        self._model = model
        self._tokens = tokens
        self._sums: dict[str, tuple[Tensor, Tensor]] = {}

    def on_layer(self, layer: str, caller: str, x: Tensor) -> None:
        if not isinstance(self._model.get_submodule(layer), nn.Linear):
            return
        weights = self._tokens.weights(x)
        each = x.new_ones(*x.shape[:-1], 1) if weights is None else weights
        each = each.expand(*x.shape[:-1], 1).double()
        self._sums[layer] = ((x * each).flatten(0, -2).sum(0), each.sum())

    def on_matmul(self, caller: str, index: int, left: Tensor, right: Tensor) -> None:
        pass

    def on_unsupported(self, caller: str, what: str) -> None:
        pass

    def outputs(self, model: nn.Module) -> dict[str, Tensor]:
        """(O,) in double precision, by layer, over the images of all processes."""
        distributed.all_reduce([t for sums in self._sums.values() for t in sums])
        found = {}
        for name, (total, count) in self._sums.items():
            layer = model.get_submodule(name)
            output = layer.weight.double() @ (total / count)
            found[name] = output if layer.bias is None else output + layer.bias.double()
        return found


@contextmanager
def _stopping_at(layers: dict[str, FakeQuantLinear], before) -> Iterator[None]:
    """Call ``before(name, layer, x)`` with a layer's input when it is about to be computed.

    A hook would not do: some attentions compute with a Linear's weight and never call it.
    """
    for name, layer in layers.items():

        def product(x: Tensor, bias: Tensor | None, name: str = name, layer=layer) -> Tensor:
            own = bias is layer.bias
            # The fit's own products must not be taken for those of the attention around it.
            with torch._C.DisableTorchFunction():
                before(name, layer, x)
            return FakeQuantLinear.product(layer, x, layer.bias if own else bias)

        layer.product = product
    try:
        yield
    finally:
        for layer in layers.values():
            del layer.product
