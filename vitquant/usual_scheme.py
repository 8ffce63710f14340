"""The bits of the first and the last layer where nobody asks for others."""

from vitquant.bits import Bits, parse_bits
from vitquant.methods.scheme import Scheme


def usual_scheme(bits: Bits, patch_embed: str | None = None, head: str | None = None) -> Scheme:
    """``bits`` throughout, but for the layer that sees the image: 8 bits, activations float where
    those of ``bits`` are.

    Raises:
        UserError: ``patch_embed`` or ``head``, which replace this, are no bit widths.
    """
    first = Bits(8, 8 if bits.quantizes_activations else bits.activation)
    return Scheme(
        bits,
        patch_embed=first if patch_embed is None else parse_bits(patch_embed, "patch_embed_bits"),
        head=bits if head is None else parse_bits(head, "head_bits"),
    )
