"""Insert fake quantizers into a copy of the float model."""

import copy
from collections.abc import Container, Sequence

from torch import nn

from vitquant.config.bits import Bits
from vitquant.config.quantize import QuantizeSettings
from vitquant.core.modules import submodule
from vitquant.quantization.graph.points import LayerPoint, MatmulPoint, QuantizationPoints
from vitquant.quantization.layers.attention import QuantizedMatmul, fake_quant_matmul
from vitquant.quantization.layers.base import ChannelRescale, FakeQuantLayer, FoldTarget
from vitquant.quantization.layers.conv import FakeQuantConv2d
from vitquant.quantization.layers.interception import intercept
from vitquant.quantization.layers.linear import FakeQuantLinear
from vitquant.quantization.ptq.bit_assignment import PointBits
from vitquant.quantization.quantizers.grid import grids, prefix_format
from vitquant.quantization.transforms.folding import Fold


def prepare(
    model: nn.Module, points: QuantizationPoints, bits: PointBits, settings: QuantizeSettings
) -> nn.Module:
    """A copy of a float model with every layer and matmul fake-quantized, scales not yet set.

    Of ``settings`` those that say what has scales of its own: ``per_head``, ``prefix_scales`` and
    ``prefix_bits``; and the target, which says what is symmetric.

    Raises:
        ValueError: some matmuls of a module are to stay float, and others are not.
    """
    student = copy.deepcopy(model)
    for point in points.layers:
        made = fake_quant_layer(student, point, bits.layers[point.name], settings)
        student.set_submodule(point.name, made)
    functional = set(points.functional.values())
    for name in sorted(functional | set(points.attentions)):
        own = [point for point in points.matmuls if point.module == name]
        matmuls = fake_quant_matmuls(own, [bits.matmuls[point.key] for point in own], settings)
        if matmuls or name in functional:
            intercept(student.get_submodule(name), matmuls)
    return student.to(next(model.parameters()).device)


def fake_quant_layer(
    model: nn.Module, point: LayerPoint, bits: Bits, settings: QuantizeSettings
) -> FakeQuantLayer:
    """What takes the place of a layer of the float ``model``, scales not yet set."""
    weight, activation = grids(bits)
    target = settings.profile
    if point.kind == "conv2d":
        conv = submodule(model, point.name, nn.Conv2d)
        return FakeQuantConv2d(conv, weight, activation, target.inputs)
    layer = submodule(model, point.name, nn.Linear)
    tokens = _prefix_tokens(point, bits, settings)
    prefix = prefix_format(tokens, activation, settings.prefix_bits)
    return FakeQuantLinear(layer, weight, activation, prefix, target.inputs)


def fake_quant_matmuls(
    points: Sequence[MatmulPoint], bits: Sequence[Bits], settings: QuantizeSettings
) -> list[QuantizedMatmul]:
    """Those of one module, in their order; none where they stay float."""
    if not any(own.quantizes_activations for own in bits):
        return []
    made = []
    for point, own in zip(points, bits, strict=True):
        grid = grids(own)[1]
        if grid is None:
            raise ValueError(f"{point.module}: either all of its matmuls stay float or none does")
        heads = point.heads if settings.has_head_scales(own) else 0
        prefix = prefix_format(_prefix_tokens(point, own, settings), grid)
        made.append(fake_quant_matmul(grid, heads, prefix, settings.profile.matmuls))
    return made


def _prefix_tokens(point: LayerPoint | MatmulPoint, bits: Bits, settings: QuantizeSettings) -> int:
    """How many rows have scales of their own; to 16-bit integers they bring nothing."""
    return point.prefix_tokens if settings.prefix_scales and not bits.signed else 0


def add_rescaling(
    student: nn.Module, folds: list[Fold], functional: Container[str] = (), *, stored: bool = True
) -> list[tuple[ChannelRescale, tuple[str, ...]]]:
    """Give every Linear with a quantized input a rescaling of 1, folded where it can be.

    Where it cannot, the input gets a channel-wise shift too, if the layer has a bias to take it up.
    functional: names of layers that others call with a bias of their own, which do not. stored:
    whether there is any rescaling that cannot be folded.

    Returns each rescaling with the names of the layers that share it.
    """
    added: list[tuple[ChannelRescale, tuple[str, ...]]] = []
    for fold in folds:
        source = student.get_submodule(fold.source)
        if not fold.norm and not isinstance(source, FakeQuantLinear):
            continue
        consumers = [submodule(student, name, FakeQuantLinear) for name in fold.consumers]
        if any(c.input is None for c in consumers):
            continue
        target = FoldTarget.NORM if fold.norm else FoldTarget.LINEAR
        rescale = ChannelRescale(consumers[0].in_features, target, fold.source)
        if isinstance(source, FakeQuantLinear):
            source.consumer, source.consumer_start = rescale, fold.start
        for consumer in consumers:
            consumer.rescale = rescale
        added.append((rescale, fold.consumers))
    for name, module in student.named_modules() if stored else ():
        if isinstance(module, FakeQuantLinear) and module.input is not None and not module.rescale:
            module.rescale = ChannelRescale(module.in_features, FoldTarget.NONE)
            # Of 16 bits, enough levels lie on either side of zero.
            wanted = module.bias is not None and not module.input.grid.signed
            if wanted and name not in functional:
                module.add_channel_shift()
            added.append((module.rescale, (name,)))
    device = next(student.parameters()).device
    for rescale, _ in added:
        rescale.to(device)
    return added
