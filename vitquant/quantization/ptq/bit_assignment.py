"""Which layer gets which bits."""

from collections.abc import Collection

from vitquant.config.bits import BitAssignment, Bits
from vitquant.quantization.graph.points import QuantizationPoints


def layer_bits(
    assignment: BitAssignment, classifier_names: Collection[str], points: QuantizationPoints
) -> dict[str, Bits]:
    """The bits of every layer in ``points``, by name."""
    chosen = dict.fromkeys(points.layers, assignment.bits)
    chosen.update({name: assignment.head for name in points.layers if name in classifier_names})
    chosen[points.layers[0]] = assignment.patch_embed
    return chosen
