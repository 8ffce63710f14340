"""Which layer gets which bits."""

from torch import nn

from vitquant.config.bits import BitAssignment, Bits
from vitquant.quantization.graph.points import QuantizationPoints


def layer_bits(
    assignment: BitAssignment, model: nn.Module, points: QuantizationPoints
) -> dict[str, Bits]:
    """The bits of every layer in ``points``, by name."""
    heads = classifier_names(model)
    chosen = dict.fromkeys(points.layers, assignment.bits)
    chosen.update({name: assignment.head for name in points.layers if name in heads})
    chosen[points.layers[0]] = assignment.patch_embed
    return chosen


def classifier_names(model: nn.Module) -> set[str]:
    """The names of the layers that give a timm model's logits: one, two if distilled, or none."""
    classifier = model.get_classifier() if hasattr(model, "get_classifier") else None
    found = classifier if isinstance(classifier, tuple) else (classifier,)
    return {name for name, module in model.named_modules() if any(module is f for f in found)}
