"""Parts of a network, and one width of all of them."""

from types import SimpleNamespace

import pytest

from vitquant.config.bits import Bits
from vitquant.config.bits.patterns import fits
from vitquant.quantization.bit_allocation.measure import Measure
from vitquant.quantization.bit_allocation.sensitivity import measure_column, parts_of
from vitquant.quantization.bit_allocation.switchable import SwitchableModel


def test_layers_matmuls_groups_and_blocks(make_small, make_context, settings):
    points = make_context(make_small("vit"), settings()).points
    parts = {part.name: part for part in parts_of(points)}
    single = [p.name for p in parts.values() if p.kind in ("linear", "conv2d", "matmul")]
    assert single[:4] == [
        "patch_embed.proj", "blocks.0.attn.qkv", "blocks.0.attn.products.0",
        "blocks.0.attn.products.1",
    ]  # fmt: skip
    assert len(single) == len(points.layers) + len(points.matmuls)
    assert parts["blocks.*.mlp.fc2"].members == ("blocks.0.mlp.fc2", "blocks.1.mlp.fc2")
    assert len(parts["blocks.1"].members) == 6
    assert all(len(p.members) == 1 for p in parts.values() if p.name in single)


@pytest.mark.parametrize(
    "blocks",
    [
        ("features.1.0", "features.1.1", "features.3.0"),  # a Swin of torchvision
        ("layers.encoder_layer_0", "layers.encoder_layer_1"),  # its ViT
    ],
)
def test_a_group_has_all_blocks_whatever_their_numbers_stand_beside(blocks):
    names = tuple(f"{block}.attn.qkv" for block in blocks)
    layers = [SimpleNamespace(name=name, kind="linear") for name in names]
    parts = parts_of(SimpleNamespace(layers=layers, matmuls=[], blocks=blocks))
    groups = [part for part in parts if part.kind == "group"]
    assert [part.members for part in groups] == [names]
    assert all(fits(groups[0].name, name) for name in names)


def test_alone_and_spared(make_small, make_context, settings):
    context = make_context(make_small("vit"), settings())
    parts = parts_of(context.points)
    model = SwitchableModel(context, [Bits(2, 4)])
    measure = Measure(context, model, images=4)
    alone = measure_column(measure, parts, Bits(2, 4), spared=False)
    spared = measure_column(measure, parts, Bits(2, 4), spared=True)
    assert alone.whole.divergence < 1e-6
    assert len(alone.losses) == len(spared.losses) == len(parts)
    assert all(loss.divergence > 0 for loss in alone.losses)
    # Of everything but one block of two, less is lost than of everything.
    block = [part.name for part in parts].index("blocks.0")
    assert spared.losses[block].divergence < spared.whole.divergence
