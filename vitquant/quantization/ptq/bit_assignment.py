"""From bits by the place in a network to the bits of each of its layers and matmuls."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from vitquant.config.bits import BitAssignment, Bits
from vitquant.quantization.graph.points import QuantizationPoints


@dataclass(frozen=True)
class PointBits:
    """layers: by name. matmuls: by module and index; both operands have bits of activations."""

    layers: Mapping[str, Bits]
    matmuls: Mapping[tuple[str, int], Bits]


def assign_bits(
    assignment: BitAssignment, classifier_names: Collection[str], points: QuantizationPoints
) -> PointBits:
    """The bits of every point of a float model: patch embedding, classifiers, and all others."""
    layers = {
        point.name: assignment.head if point.name in classifier_names else assignment.bits
        for point in points.layers
    }
    if points.stem in layers:
        layers[points.stem] = assignment.patch_embed
    return PointBits(layers, {p.key: assignment.bits for p in points.matmuls})
