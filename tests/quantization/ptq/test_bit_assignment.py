"""Bits of every point by place and by pattern."""

import pytest

from vitquant.config.bits import Bits
from vitquant.config.bits.summarize import summarize_layer_bits
from vitquant.core.errors import UserError
from vitquant.quantization.graph.keep_float import keep_float
from vitquant.quantization.graph.points import example_inputs, find_points
from vitquant.quantization.ptq.bit_assignment import assign_bits
from vitquant.workflows.ptq import quantize


@pytest.fixture
def assigned(make_small, settings):
    """assigned(layer_bits, keep_float, family) → bits by name."""

    def make(layer_bits=None, kept=(), family="vit"):
        model = make_small(family)
        points = find_points(model.module, example_inputs(model.input_size), model.tokens)
        points = keep_float(points, kept, "--keep-float")
        assignment = settings("w4a4", layer_bits=layer_bits).assignment
        return assign_bits(assignment, model.classifier_names, points, "--layer-bits").by_name()

    return make


def test_the_last_pattern_that_fits_wins(assigned):
    found = assigned("*=w2a2,blocks.0=w3a3,blocks.*.attn.products=w8a8,blocks.*.fc?=w6a6")
    assert found == {
        "patch_embed.proj": Bits(2, 2),
        "blocks.0.attn.qkv": Bits(3, 3), "blocks.0.attn.proj": Bits(3, 3),
        "blocks.1.attn.qkv": Bits(2, 2), "blocks.1.attn.proj": Bits(2, 2),
        **{f"blocks.{i}.attn.products.{j}": Bits(8, 8) for i in (0, 1) for j in (0, 1)},
        **{f"blocks.{i}.mlp.fc{j}": Bits(6, 6) for i in (0, 1) for j in (1, 2)},
        "head": Bits(2, 2),
    }  # fmt: skip


def test_places_keep_their_bits_where_no_pattern_fits(assigned):
    before = assigned()
    after = assigned("blocks.1.attn=w8a8,blocks.1.attn.products.1=w8a3")
    changed = {name: bits for name, bits in after.items() if bits != before[name]}
    assert before["patch_embed.proj"] == Bits(8, 8)
    assert changed == {
        "blocks.1.attn.qkv": Bits(8, 8), "blocks.1.attn.proj": Bits(8, 8),
        "blocks.1.attn.products.0": Bits(8, 8), "blocks.1.attn.products.1": Bits(8, 3),
    }  # fmt: skip


@pytest.mark.parametrize("family", ["vit", "swin"])
def test_a_summary_of_bits_is_read_as_these_bits(family, assigned):
    before = assigned(family=family)
    wanted = {name: Bits(2 + i % 3, 8 - i % 2) for i, name in enumerate(before)}
    assert assigned(summarize_layer_bits(wanted, before), family=family) == wanted


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("blocks.0=w8a8,blocks.0.mlp.cf1=w4a4", r"'blocks.0.mlp.cf1' names .*; such as blocks.0.m"),
        ("norm=w4a4", "'norm' names no layer and no matmul"),
        ("blocks.1=w8a8", "all that blocks.1 names is kept float by --keep-float; leave one of"),
        ("blocks.1.attn.products.1=w8a8", "all that blocks.1.attn.products.1 names is kept float"),
        ("head=w4a4,blocks.0=w8a8,*=w4a4", "later patterns name all that head names; leave it out"),
        ("blocks.0.attn.products.1=w4a16", r".*: blocks.0.attn.products.0 w4a4, .*1 w4a16; a16 fo"),
    ],
)
def test_what_a_pattern_must_not_be(given, words, assigned):
    with pytest.raises(UserError, match=f"^--layer-bits: {words}") as error:
        assigned(given, ["blocks.1"])
    assert "\n" not in str(error.value)


def test_a_pattern_may_fit_more_than_is_kept(assigned):
    found = assigned("blocks=w8a8", ["blocks.1"])
    assert {name.split(".")[1] for name, bits in found.items() if bits == Bits(8, 8)} == {
        "proj", "0",
    }  # fmt: skip


def test_patterns_are_checked_before_there_are_images(make_small, settings):
    def images():
        raise AssertionError("images are made")

    with pytest.raises(UserError, match=r"^--layer-bits: 'x' names no layer"):
        quantize(make_small("vit"), images, settings(layer_bits="x=w4a4"))
