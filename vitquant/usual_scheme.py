"""The bits of the first and the last layer where nobody asks for others."""

from vitquant.bits import Bits
from vitquant.methods.scheme import Scheme


def usual_scheme(bits: Bits, patch_embed: Bits | None = None, head: Bits | None = None) -> Scheme:
    """``bits`` throughout, but for the layer that sees the image: 8 bits, activations float where
    those of ``bits`` are. ``patch_embed`` and ``head`` replace this.
    """
    first = Bits(8, 8 if bits.quantizes_activations else bits.activation)
    return Scheme(
        bits,
        patch_embed=first if patch_embed is None else patch_embed,
        head=bits if head is None else head,
    )
