"""Which layer gets which bits."""

from collections.abc import Collection
from dataclasses import dataclass

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

    def layer_bits(self, heads: Collection[str], points: QuantizationPoints) -> dict[str, Bits]:
        """The bits of every layer in ``points``. heads: names of those that give the logits."""
        chosen = dict.fromkeys(points.layers, self.bits)
        chosen.update({name: self.head for name in points.layers if name in heads})
        chosen[points.layers[0]] = self.patch_embed
        return chosen
