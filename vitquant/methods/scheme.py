"""Which layer gets which bits."""

from dataclasses import dataclass

from torch import nn

from vitquant.bits import Bits
from vitquant.quantization.graph.points import QuantizationPoints


@dataclass(frozen=True)
class Scheme:
    """Bit widths by the place in the network.

    Args:
        bits: of everything that the other two do not name.
        patch_embed: of the layer that sees the image.
        head: of the classifier.
    """

    bits: Bits
    patch_embed: Bits
    head: Bits

    def layer_bits(self, model: nn.Module, points: QuantizationPoints) -> dict[str, Bits]:
        """The bits of every layer in ``points``."""
        heads = classifiers(model)
        chosen = dict.fromkeys(points.layers, self.bits)
        chosen.update({name: self.head for name in points.layers if name in heads})
        chosen[points.layers[0]] = self.patch_embed
        return chosen


def classifiers(model: nn.Module) -> set[str]:
    """The names of the layers that give a timm model's logits: one, two if distilled, or none."""
    classifier = model.get_classifier() if hasattr(model, "get_classifier") else None
    found = classifier if isinstance(classifier, tuple) else (classifier,)
    return {name for name, module in model.named_modules() if any(module is f for f in found)}
