"""From bits by the place in a network to the bits of each of its layers and matmuls."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from vitquant.bits import Bits
from vitquant.methods.scheme import Scheme
from vitquant.quantization.graph.points import QuantizationPoints


@dataclass(frozen=True)
class PointBits:
    """layers: by name. matmuls: bits of both operands, by module and index."""

    layers: Mapping[str, Bits]
    matmuls: Mapping[tuple[str, int], int]


def assign_bits(model: nn.Module, points: QuantizationPoints, assignment: Scheme) -> PointBits:
    """The bits of every point of a float model: patch embedding, classifiers, and all others."""
    heads = classifier_names(model)
    layers = {
        point.name: assignment.head if point.name in heads else assignment.bits
        for point in points.layers
    }
    layers[points.layers[0].name] = assignment.patch_embed
    return PointBits(layers, {p.key: assignment.bits.activation for p in points.matmuls})


def classifier_names(model: nn.Module) -> set[str]:
    """The names of the layers that give a timm model's logits: one, two if distilled, or none."""
    get_classifier: Any = getattr(model, "get_classifier", lambda: None)
    classifier = get_classifier()
    found = classifier if isinstance(classifier, tuple) else (classifier,)
    return {name for name, module in model.named_modules() if any(module is f for f in found)}
