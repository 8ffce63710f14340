"""Put student quantizers into a copy of the float model."""

import copy
from collections.abc import Container

from torch import nn

from vitquant.config.bits import Bits
from vitquant.quantization.graph.points import QuantizationPoints
from vitquant.quantization.layers.attention import fake_quant_matmul
from vitquant.quantization.layers.base import ChannelRescale, FoldTarget
from vitquant.quantization.layers.conv import FakeQuantConv2d
from vitquant.quantization.layers.interception import intercept
from vitquant.quantization.layers.linear import FakeQuantLinear
from vitquant.quantization.quantizers.grid import grids, prefix_format
from vitquant.quantization.transforms.folding import Fold


def prepare(
    model: nn.Module,
    points: QuantizationPoints,
    layer_bits: dict[str, Bits],
    bits: Bits,
    prefix_bits: int | None = None,
) -> nn.Module:
    """A copy of a float model with every layer and product quantized, scales not yet set.

    prefix_bits: of what enters layers at the places of class tokens and registers, where that is
    more than other places have.
    """
    student = copy.deepcopy(model)
    for name in points.layers:
        layer = student.get_submodule(name)
        weight, activation = grids(layer_bits[name].weight, layer_bits[name].activation)
        if isinstance(layer, nn.Conv2d):
            made = FakeQuantConv2d(layer, weight, activation)
        else:
            own = prefix_format(points.prefix.get(name, 0), activation, prefix_bits)
            made = FakeQuantLinear(layer, weight, activation, own)
        student.set_submodule(name, made)
    activation = grids(bits.weight, bits.activation)[1]
    callers = set(points.functional.values()) | set(points.products)
    for name in sorted(callers):
        products = points.products.get(name, 0) if activation else 0
        if products or name in points.functional.values():
            places = [(name, i) for i in range(products)]
            intercept(
                student.get_submodule(name),
                [
                    fake_quant_matmul(
                        activation,
                        points.heads.get(place, 0),
                        prefix_format(points.prefix.get(place, 0), activation),
                    )
                    for place in places
                ],
            )
    return student.to(next(model.parameters()).device)


def add_rescaling(
    student: nn.Module, folds: list[Fold], functional: Container[str] = ()
) -> list[tuple[ChannelRescale, tuple[str, ...]]]:
    """Give every Linear with a quantized input a rescaling of 1, folded where it can be.

    Where it cannot, the input gets an offset too, if the layer has a bias to take it up.
    functional: names of layers that others call with a bias of their own, which do not.

    Returns each rescaling with the names of the layers that share it.
    """
    added: list[tuple[ChannelRescale, tuple[str, ...]]] = []
    for fold in folds:
        source = student.get_submodule(fold.source)
        if not fold.norm and not isinstance(source, FakeQuantLinear):
            continue
        consumers = [student.get_submodule(name) for name in fold.consumers]
        if any(c.input is None for c in consumers):
            continue
        site = FoldTarget.NORM if fold.norm else FoldTarget.LINEAR
        rescale = ChannelRescale(consumers[0].in_features, site, fold.source)
        if not fold.norm:
            source.consumer, source.consumer_start = rescale, fold.start
        for consumer in consumers:
            consumer.rescale = rescale
        added.append((rescale, fold.consumers))
    for name, module in student.named_modules():
        if isinstance(module, FakeQuantLinear) and module.input is not None and not module.rescale:
            module.rescale = ChannelRescale(module.in_features, FoldTarget.NONE)
            if module.bias is not None and name not in functional:
                module.add_channel_shift()
            added.append((module.rescale, (name,)))
    device = next(student.parameters()).device
    for rescale, _ in added:
        rescale.to(device)
    return added
