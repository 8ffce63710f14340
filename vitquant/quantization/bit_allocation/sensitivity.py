"""How much each layer, attention matmul and group of them matters at each width."""

from collections.abc import Sequence
from typing import NamedTuple

from vitquant.config.bits import Bits
from vitquant.config.bits.patterns import family
from vitquant.quantization.bit_allocation.measure import Change, Loss, Measure
from vitquant.quantization.graph.points import QuantizationPoints


class Part(NamedTuple):
    """What is quantized, or spared, together.

    kind: ``linear``, ``conv2d``, ``matmul``, ``group`` of what has the same place in each block, or
    ``block``. members: names of layers and matmuls; of a single one, its own.
    """

    name: str
    kind: str
    members: tuple[str, ...]


def parts_of(points: QuantizationPoints) -> list[Part]:
    """Every layer and matmul in the order of execution, then groups, then transformer blocks."""
    kinds = {point.name: str(point.kind) for point in points.layers}
    kinds |= {point.name: "matmul" for point in points.matmuls}
    order = _in_order(points)
    groups: dict[str, list[str]] = {}
    for name in order:
        groups.setdefault(family(name), []).append(name)
    blocks = {b: [name for name in order if name.startswith(f"{b}.")] for b in points.blocks}
    return [
        *(Part(name, kinds[name], (name,)) for name in order),
        *(Part(n, "group", tuple(own)) for n, own in groups.items() if len(own) > 1),
        *(Part(name, "block", tuple(own)) for name, own in blocks.items() if len(own) > 1),
    ]


def _in_order(points: QuantizationPoints) -> list[str]:
    """Layers in the order of execution; matmuls behind the first layer of their module."""
    found: list[str] = []
    waiting = [point.name for point in points.matmuls]
    for point in points.layers:
        found.append(point.name)
        around = point.name.rpartition(".")[0]
        own = [name for name in waiting if name.rpartition(".products.")[0] == around]
        found += own
        waiting = [name for name in waiting if name not in own]
    return found + waiting


class Column(NamedTuple):
    """One width of everything. spared: whether each part alone stays float, or alone is quantized.

    whole: the loss with everything at this width, or with nothing. losses: of each part, in order.
    """

    bits: Bits
    spared: bool
    whole: Loss
    losses: tuple[Loss, ...]


def measure_column(measure: Measure, parts: Sequence[Part], bits: Bits, spared: bool) -> Column:
    """Measure every part at one width. A collective of all processes."""
    model = measure.model
    model.set(dict.fromkeys(model.names, bits if spared else None))
    whole = measure.record()
    own = None if spared else bits
    changes: list[Change] = [dict.fromkeys(part.members, own) for part in parts]
    what = f"{bits}: {'sparing' if spared else 'quantizing'} one at a time"
    return Column(bits, spared, whole, tuple(measure.losses(changes, what)))
