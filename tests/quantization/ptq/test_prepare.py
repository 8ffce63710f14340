"""Bits by the place become bits of each point, and each point gets its own."""

import dataclasses

import pytest
import torch

from vitquant.checkpoint.header import (
    Header,
    layer_records,
    load_header,
    product_records,
)
from vitquant.checkpoint.read import Checkpoint, restore
from vitquant.checkpoint.write import stored_tensors
from vitquant.config.bits import Bits, parse_bits
from vitquant.quantization.graph.points import example_inputs, find_points
from vitquant.quantization.layers.base import FakeQuantLayer
from vitquant.quantization.layers.interception import intercepted
from vitquant.quantization.ptq.bit_assignment import PointBits, assign_bits
from vitquant.quantization.ptq.calibrate import calibrate
from vitquant.quantization.ptq.context import observe
from vitquant.quantization.ptq.convert import convert
from vitquant.quantization.ptq.prepare import prepare


@pytest.fixture
def found(make_small):
    """found(family) → (model, its points)."""

    def make(family="vit"):
        model = make_small(family)
        return model, find_points(model.module, example_inputs(model.input_size), model.tokens)

    return make


@pytest.mark.parametrize("family", ["vit", "distilled", "swin", "siglip"])
def test_places_have_their_bits(family, found, settings):
    model, points = found(family)
    assignment = dataclasses.replace(settings("w4a4").assignment, head=parse_bits("w6a5"))
    bits = assign_bits(assignment, model.classifier_names, points)
    heads = model.classifier_names
    among = [point.name for point in points.layers if point.name in heads]
    assert len(among) == {"distilled": 2, "siglip": 0}.get(family, 1)
    for point in points.layers:
        wanted = Bits(6, 5) if point.name in heads else Bits(4, 4)
        wanted = Bits(8, 8) if point.name == "patch_embed.proj" else wanted
        assert bits.layers[point.name] == wanted
    assert set(bits.matmuls) == {point.key for point in points.matmuls}
    assert set(bits.matmuls.values()) == {Bits(4, 4)}


@pytest.fixture
def uneven(found):
    """uneven(family) → (model, points, bits in which no two neighbors are alike)."""

    def make(family="vit"):
        model, points = found(family)
        layers = {p.name: Bits(2 + i % 6, 3 + i % 5) for i, p in enumerate(points.layers)}
        matmuls = {p.key: Bits(8, 3 + i % 5) for i, p in enumerate(points.matmuls)}
        return model, points, PointBits(layers, matmuls)

    return make


@pytest.mark.parametrize("family", ["vit", "swin", "eva02"])
def test_every_point_may_have_bits_of_its_own(family, uneven, settings):
    model, points, bits = uneven(family)
    student = prepare(model.module, points, bits, settings())
    for name, layer in student.named_modules():
        if isinstance(layer, FakeQuantLayer):
            wanted = bits.layers[name]
            assert (layer.grid.bits, layer.input.grid.bits) == (wanted.weight, wanted.activation)
    for name, _, matmuls in intercepted(student):
        for index, matmul in enumerate(matmuls):
            wanted = bits.matmuls[name, index].activation
            assert matmul.left.grid.bits == matmul.right.grid.bits == wanted


def test_matmuls_of_one_module_stay_float_together(uneven, settings):
    model, points, bits = uneven()
    first = points.attentions[0]
    both = bits.matmuls | {(first, 0): Bits(8, 16), (first, 1): Bits(8, 16)}
    student = prepare(model.module, points, PointBits(bits.layers, both), settings())
    assert first not in [name for name, _, _ in intercepted(student)]
    one = PointBits(bits.layers, bits.matmuls | {(first, 0): Bits(8, 16)})
    with pytest.raises(ValueError, match=f"{first}: either all of its matmuls stay float"):
        prepare(model.module, points, one, settings())


@pytest.mark.parametrize("per_head", [False, True])
@pytest.mark.parametrize("prefix_scales", [False, True])
def test_settings_say_what_has_scales_of_its_own(per_head, prefix_scales, uneven, settings):
    model, points, bits = uneven()
    chosen = settings(per_head=per_head, prefix_scales=prefix_scales)
    student = prepare(model.module, points, bits, chosen)
    matmul = student.blocks[0].attn.products[1]
    assert matmul.left.heads == (3 if per_head else 0)
    assert matmul.left.prefix.count == student.blocks[0].mlp.fc1.prefix.count == prefix_scales
    assert points.has_prefix_tokens


def test_scales_of_parts_go_by_each_matmuls_bits(found, settings):
    model, points = found("vit")
    table = "blocks.0.attn.products.1=w8a8,blocks.1.attn.products.1=w8i16,blocks.0.mlp.fc2=w4i16"
    chosen = settings("w4a4", layer_bits=table, prefix_scales=True, prefix_bits=6)
    bits = assign_bits(chosen.assignment, model.classifier_names, points)
    student = prepare(model.module, points, bits, chosen)
    first, second = (block.attn.products[1].left for block in student.blocks)
    assert (first.heads, first.prefix.count) == (0, 1)
    assert (second.heads, second.prefix.count, second.grid.signed) == (0, 0, True)
    assert student.blocks[0].mlp.fc2.prefix.count == 0
    assert student.blocks[1].mlp.fc2.prefix.grid.bits == 6
    usual = settings("w4a4")
    student = prepare(model.module, points, assign_bits(usual.assignment, (), points), usual)
    assert {block.attn.products[1].left.heads for block in student.blocks} == {3}


@torch.no_grad()
def test_a_checkpoint_keeps_bits_of_each_matmul(uneven, settings, make_context, batch, tmp_path):
    model, points, bits = uneven()
    context = dataclasses.replace(make_context(model, settings()), bits=bits)
    student = prepare(model.module, points, bits, settings())
    calibrate(student, observe(context))
    converted = convert(student, model.module)
    made = {
        "model": model.identity.to_json(), "preprocessing": model.preprocessing, "classes": None,
        "bits": "w4a4", "layers": layer_records(student, converted),
    }  # fmt: skip
    header = load_header(Header(products=product_records(student), **made).dump())
    assert header.format_version == 5
    assert [p.matmul_bits() for p in header.products] == [(3, 4), (5, 6)]
    restored = restore(Checkpoint(tmp_path, header, stored_tensors(student)))
    assert torch.equal(restored.module(batch), student.eval()(batch))
