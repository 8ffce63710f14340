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

Where the classifier reads a class token, most rows of an activation matter little. There the class
token's row weighs as much as all patches' together, in the second moments and in the mean.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from vitquant.core import distributed
from vitquant.core.modules import submodule
from vitquant.core.torch_private import no_function_modes
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

    One forward pass of the context's initial images through either model. Weights end on the grid
    of their scales, so that rounding again changes nothing: a checkpoint holds nothing more than
    that of an uncorrected model. Convolutions stay as they are, and the progress says how many.
    All processes call it together.

    Args:
        student: with searched scales, and rescaling where there is any.
    """
    tokens = context.model.tokens
    observer = _Means(context.float_model, tokens)
    trace(context.float_model, context.init_images.batch, observer)
    means = observer.outputs()
    layers = {n: m for n, m in student.named_modules() if isinstance(m, FakeQuantLinear)}
    layers = {n: m for n, m in layers.items() if n in means}
    bar = context.progress.track(range(len(layers)), len(layers), "correcting layers")
    settings = context.settings

    def before(name: str, layer: FakeQuantLinear, x: Tensor) -> None:
        next(bar, None)
        weights = tokens.weights(x)
        target = means[name] if settings.correct_bias and layer.bias is not None else None
        _correct(layer, x, weights, target, settings.damping)

    with _before_matmuls(layers, before):
        student(context.init_images.batch)
    next(bar, None)  # closes the bar
    others = len(context.points.layers) - len(layers)
    context.progress.say(
        f"{len(layers)} layers corrected" + (f", {others} convolutions not" if others else "")
    )


def _correct(
    layer: FakeQuantLinear, x: Tensor, weights: Tensor | None, target: Tensor | None, damping: float
) -> None:
    """Round the layer's weight for its input ``x`` (..., I) and set its bias.

    weights: of the rows of ``x``, (..., 1), or None where all weigh the same. target: (O,), the
    mean output of the float layer, or None to leave the bias alone. damping: what is added to the
    Hessian's diagonal, as a fraction of its mean.
    """
    count, total, hessian = _sums(x, layer, weights)
    distributed.all_reduce([hessian, total, count])
    mean, hessian = total / count, hessian / count
    # What the bias can take up need not be made up for by weights.
    if target is not None:
        hessian -= mean[:, None] * mean
    hessian.diagonal().add_(damping * hessian.diag().mean().clamp_min(1e-12))
    weight = layer.rescaled_weight()
    scale = search_per_channel(weight, layer.grid)
    layer.log_scale.copy_(scale.log())
    scale = layer.log_scale.exp()
    rounded = gptq_round(weight, scale, layer.grid, hessian) * scale[:, None]
    layer.weight.copy_(rounded if layer.rescale is None else rounded * layer.rescale.reciprocal())
    if target is not None and layer.bias is not None:
        layer.bias.copy_(target - rounded.double() @ mean)


def _sums(
    x: Tensor, layer: FakeQuantLinear, weights: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Number of rows (), their sum (I,) and that of their x xᵀ (I, I), as the matmul sees them."""
    each = x.new_ones(1) if weights is None else weights
    each = each.expand(*x.shape[:-1], 1).flatten()[:, None]
    total = torch.zeros(x.shape[-1], dtype=torch.double, device=x.device)
    hessian = total.new_zeros(len(total), len(total))
    images = max(1, _ROWS // max(1, x[0].numel() // x.shape[-1]))
    part_weights = each.view(len(x), -1, 1).split(images)
    for part, own in zip(x.split(images), part_weights, strict=True):
        value = layer.dequantized_input(part).flatten(0, -2)
        weighted = (value * own.flatten(0, 1)).double()
        total += weighted.sum(0)
        hessian += weighted.T @ value.double()
    return each.double().sum(), total, hessian


class _Means:
    """Observes a float model: the mean of each layer's input, rows weighted by their tokens."""

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

    def outputs(self) -> dict[str, Tensor]:
        """(O,) in double precision, by layer, over the images of all processes."""
        distributed.all_reduce([t for sums in self._sums.values() for t in sums])
        found = {}
        for name, (total, count) in self._sums.items():
            layer = submodule(self._model, name, nn.Linear)
            output = layer.weight.double() @ (total / count)
            found[name] = output if layer.bias is None else output + layer.bias.double()
        return found


@contextmanager
def _before_matmuls(
    layers: dict[str, FakeQuantLinear], before: Callable[[str, FakeQuantLinear, Tensor], None]
) -> Iterator[None]:
    """Call ``before(name, layer, x)`` with a layer's input when it is about to be computed.

    A forward hook would not do: some attentions compute with a Linear's weight and never call it.
    """

    def hook(name: str, layer: FakeQuantLinear, x: Tensor) -> None:
        # The fit's own matmuls must not be taken for those of the attention around it.
        with no_function_modes():
            before(name, layer, x)

    for name, layer in layers.items():
        layer.before_matmul = partial(hook, name, layer)
    try:
        yield
    finally:
        for layer in layers.values():
            layer.before_matmul = None
