"""Put learned quantizers into a copy of the float model."""

import copy
from collections.abc import Container
from functools import partial

from torch import Tensor, nn

from vitquant.bits import Bits
from vitquant.layers.conv import LearnedConv2d
from vitquant.layers.interception import intercept
from vitquant.layers.linear import LearnedLinear
from vitquant.layers.product import learned_product
from vitquant.layers.quantizer import LearnedQuantizer
from vitquant.layers.rescale import Rescale, Site
from vitquant.layers.weight import LearnedWeight
from vitquant.methods.samples import Samples
from vitquant.methods.sharing import Search, share
from vitquant.models.folding import Fold
from vitquant.models.wiring import Wiring
from vitquant.quantizers.grid import front, grids


def assemble(
    model: nn.Module,
    wiring: Wiring,
    layer_bits: dict[str, Bits],
    bits: Bits,
    prefix_bits: int | None = None,
) -> nn.Module:
    """A copy of a float model with every layer and product quantized, scales not yet set.

    prefix_bits: of what enters layers at the places of class tokens and registers, where that is
    more than other places have.
    """
    learned = copy.deepcopy(model)
    for name in wiring.layers:
        layer = learned.get_submodule(name)
        weight, activation = grids(layer_bits[name].weight, layer_bits[name].activation)
        if isinstance(layer, nn.Conv2d):
            made = LearnedConv2d(layer, weight, activation)
        else:
            own = front(wiring.prefix.get(name, 0), activation, prefix_bits)
            made = LearnedLinear(layer, weight, activation, own)
        learned.set_submodule(name, made)
    activation = grids(bits.weight, bits.activation)[1]
    callers = set(wiring.functional.values()) | set(wiring.products)
    for name in sorted(callers):
        products = wiring.products.get(name, 0) if activation else 0
        if products or name in wiring.functional.values():
            places = [(name, i) for i in range(products)]
            intercept(
                learned.get_submodule(name),
                [
                    learned_product(
                        activation,
                        wiring.heads.get(place, 0),
                        front(wiring.prefix.get(place, 0), activation),
                    )
                    for place in places
                ],
            )
    return learned.to(next(model.parameters()).device)


def calibrate(learned: nn.Module, samples: Samples, rescaled: Samples | None = None) -> None:
    """Search every scale and zero point, at the rescaling as it now is.

    Args:
        samples: of the float model's activations.
        rescaled: of the float model with the rescaling of its values folded in, where there is any;
            the operands of the products are taken from it.
    """
    searches = []
    for name, module in learned.named_modules():
        if isinstance(module, LearnedWeight):
            sample = samples.layers[name]
            leading = [sample.leading] if isinstance(module, LearnedLinear) else []
            run = partial(module.calibrate, sample.rows, *leading)
            searches.append(Search(run, module.searched()))
    for (name, index), (left, right) in (rescaled or samples).products.items():
        products = getattr(learned.get_submodule(name), "products", ())
        if len(products) > index:
            product = products[index]
            run = partial(_calibrate_left, product.left, left, right)
            searches.append(Search(run, product.left.searched()))
            run = partial(product.right.calibrate, right, lambda d, left=left: left @ d)
            searches.append(Search(run, product.right.searched()))
    share(searches)


def _calibrate_left(quantizer: LearnedQuantizer, left: Tensor, right: Tensor) -> None:
    quantizer.calibrate(left, lambda difference: difference @ right)
    if quantizer.front.count:
        leading = left[..., : quantizer.front.count, :]
        quantizer.calibrate_prefix(leading, lambda difference: difference @ right)


def add_rescaling(
    learned: nn.Module, folds: list[Fold], functional: Container[str] = ()
) -> list[tuple[Rescale, tuple[str, ...]]]:
    """Give every Linear with a quantized input a rescaling of 1, folded where it can be.

    Where it cannot, the input gets an offset too, if the layer has a bias to take it up.
    functional: names of layers that others call with a bias of their own, which do not.

    Returns each rescaling with the names of the layers that share it.
    """
    added: list[tuple[Rescale, tuple[str, ...]]] = []
    for fold in folds:
        source = learned.get_submodule(fold.source)
        if not fold.norm and not isinstance(source, LearnedLinear):
            continue
        consumers = [learned.get_submodule(name) for name in fold.consumers]
        if any(c.input is None for c in consumers):
            continue
        site = Site.NORM if fold.norm else Site.LINEAR
        rescale = Rescale(consumers[0].in_features, site, fold.source)
        if not fold.norm:
            source.consumer, source.consumer_start = rescale, fold.start
        for consumer in consumers:
            consumer.rescale = rescale
        added.append((rescale, fold.consumers))
    for name, module in learned.named_modules():
        if isinstance(module, LearnedLinear) and module.input is not None and not module.rescale:
            module.rescale = Rescale(module.in_features, Site.STORED)
            if module.bias is not None and name not in functional:
                module.add_offset()
            added.append((module.rescale, (name,)))
    device = next(learned.parameters()).device
    for rescale, _ in added:
        rescale.to(device)
    return added
