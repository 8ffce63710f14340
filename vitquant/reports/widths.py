"""How many bits the layers and matmuls of a checkpoint have."""

import math
from collections import Counter

from vitquant.checkpoint.header import Header
from vitquant.config.bits import Bits
from vitquant.config.bits.patterns import family


def mean_bits(header: Header) -> tuple[float, float]:
    """Of a weight, and of an activation.

    A weight is a number, ternary ones counting 1.58 bits; activations are the inputs of layers and
    the operands of matmuls, each as one whatever its size, and float ones count 16 bits.
    """
    counts = [math.prod(layer.shape) for layer in header.layers]
    weights = sum(
        n * layer.weight_bits for n, layer in zip(counts, header.layers, strict=True)
    ) / sum(counts)
    found = [layer.activation_bits for layer in header.layers]
    found += [bits for product in header.products for bits in product.matmul_bits()]
    return weights, sum(found) / len(found)


def widths_by_kind(header: Header) -> dict[str, Counter[str]]:
    """Names with ``*`` in place of the numbers of blocks → how many have which bits."""
    found: dict[str, Counter[str]] = {}
    for x in header.layers:
        bits = Bits(x.weight_bits, x.activation_bits, x.signed_activations)
        found.setdefault(family(x.name), Counter())[str(bits)] += 1
    for p in header.products:
        for i, (own, signed) in enumerate(zip(p.matmul_bits(), p.signed_activations, strict=True)):
            name = family(f"{p.name}.products.{i}".lstrip("."))
            found.setdefault(name, Counter())[f"{'i' if signed else 'a'}{own}"] += 1
    return found
