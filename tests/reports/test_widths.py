"""How many bits a checkpoint has, in few numbers."""

from collections import Counter

from vitquant.reports.widths import mean_bits, widths_by_kind
from vitquant.workflows.ptq import quantize

OWN = "blocks.0.attn.products.0=w8a8,blocks.1.mlp=w2i16,head=w1.58a16"


def test_each_weight_counts_and_each_activation_once(make_small, images, settings):
    header = quantize(make_small("vit"), images, settings("w4a4", layer_bits=OWN)).header
    # 48 channels: 12 * 48 * 48 weights a block, patches of 192 numbers, 10 classes.
    block, first, head = 12 * 48**2, 48 * 192, 480
    total = 4 * (block + block // 3) + 2 * (2 * block // 3) + 8 * first + 1.58 * head
    weight, activation = mean_bits(header)
    assert abs(weight - total / (2 * block + first + head)) < 1e-9
    assert activation == (2 * 8 + 2 * 16 + 16 + 9 * 4) / 14


def test_blocks_are_one_kind(make_small, images, settings):
    header = quantize(make_small("vit"), images, settings("w4a4", layer_bits=OWN)).header
    assert widths_by_kind(header) == {
        "patch_embed.proj": Counter(w8a8=1),
        "blocks.*.attn.qkv": Counter(w4a4=2),
        "blocks.*.attn.proj": Counter(w4a4=2),
        "blocks.*.mlp.fc1": Counter(w4a4=1, w2i16=1),
        "blocks.*.mlp.fc2": Counter(w4a4=1, w2i16=1),
        "head": Counter({"w1.58a16": 1}),
        "blocks.*.attn.products.0": Counter(a8=1, a4=1),
        "blocks.*.attn.products.1": Counter(a4=2),
    }
