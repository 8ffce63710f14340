"""``nn.MultiheadAttention`` as Linears and scaled dot-product attention."""

from torch import nn


def replace_multihead_attention(network: nn.Module) -> None:
    """Replace every ``nn.MultiheadAttention`` of a network, in place."""
