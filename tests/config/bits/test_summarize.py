"""Bits of all names as few patterns."""

import random

import pytest

from vitquant.config.bits import Bits
from vitquant.config.bits.layer_bits import LayerBits, parse_layer_bits
from vitquant.config.bits.patterns import fits
from vitquant.config.bits.summarize import summarize_layer_bits

LEAVES = ("attn.qkv", "attn.products.0", "attn.products.1", "attn.proj", "mlp.fc1", "mlp.fc2")
NAMES = {
    "vit": ["patch_embed.proj", *(f"blocks.{i}.{n}" for i in range(12) for n in LEAVES), "head"],
    "swin": [
        *(f"layers.{i}.blocks.{j}.{n}" for i in range(3) for j in range(6) for n in LEAVES),
        *(f"layers.{i}.reduction" for i in range(1, 3)),
    ],
    "torchvision": [
        f"encoder.encoder_layer_{i}.{n}"
        for i in range(11)
        for n in ("mlp.0", "mlp.3", "self_attention.products.0", "self_attention.products.1")
    ],
    # A star stands for dots too, and a pattern for all that is inside.
    "nested": ["a.0", "a.0.b", "a.1", "a.1.b", "a.0.c.1.b", "products.0", "products.1", "x[0].1.y"],
}  # fmt: skip


def expanded(pairs, given):
    found = dict(given)
    for pattern, bits in pairs:
        found |= {name: bits for name in found if fits(pattern, name)}
    return found


def test_blocks_share_a_pattern():
    given = dict.fromkeys(NAMES["vit"], Bits(4, 4))
    eight = {name: Bits(8, 8) for name in given if name.endswith("fc2") or "products" in name}
    found = summarize_layer_bits(given | eight, given)
    assert str(found) == "blocks.*.attn.products=w8a8,blocks.*.mlp.fc2=w8a8"
    found = summarize_layer_bits(given | eight | {"blocks.3.mlp.fc2": Bits(2, 8)}, given)
    assert str(found).endswith("blocks.*.mlp.fc2=w8a8,blocks.3.mlp.fc2=w2a8")
    few = {f"blocks.{i}.mlp.fc1": Bits(8, 8) for i in (2, 5, 10, 11)}
    found = summarize_layer_bits(given | few, given)
    assert str(found) == "blocks.[25].mlp.fc1=w8a8,blocks.1[01].mlp.fc1=w8a8"
    assert summarize_layer_bits(given, given) == LayerBits()


@pytest.mark.parametrize("family", NAMES)
@pytest.mark.parametrize("seed", range(20))
def test_patterns_give_the_same_bits_again(family, seed):
    draw = random.Random(seed)
    widths = [Bits(2, 8), Bits(4, 4), Bits(8, 8), Bits(8, 16, signed=True)][: 2 + seed % 3]
    given = {name: draw.choice(widths) for name in NAMES[family]}
    wanted = {name: draw.choice(widths) for name in NAMES[family]}
    found = summarize_layer_bits(wanted, given)
    assert expanded(found, given) == wanted
    assert parse_layer_bits(str(found), "layer_bits") == found
    single = LayerBits(pair for pair in wanted.items() if pair not in given.items())
    assert family == "nested" or len(str(found)) < 0.8 * len(str(single))
