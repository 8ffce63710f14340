"""Patterns with bits, as users write them."""

import pytest

from vitquant.config.bits import Bits
from vitquant.config.bits.layer_bits import LayerBits
from vitquant.config.naming import OPTIONS
from vitquant.config.quantize import QuantizeSettings
from vitquant.core.errors import UserError

PAIRS = (("blocks.*.mlp.fc2", Bits(4, 8)), ("a=b", Bits(8, 16, signed=True)), ("c", Bits(1.58, 3)))
TEXT = "blocks.*.mlp.fc2=w4a8,a=b=w8i16,c=w1.58a3"


def build(given, **more):
    return QuantizeSettings.build(naming=OPTIONS, bits="w4a4", layer_bits=given, **more)


@pytest.mark.parametrize(
    "given",
    [
        TEXT,
        TEXT.upper().replace("BLOCKS.*.MLP.FC2", "blocks.*.mlp.fc2").replace("A=B", "a=b")
        .replace("C=", "c="),
        ["blocks.*.mlp.fc2=w4a8, a=b=w8i16", " c = w1.58a3"],
        {"blocks.*.mlp.fc2": "w4a8", "a=b": "W8I16", "c": Bits(1.58, 3)},
        {"blocks": {"*": {"mlp": {"fc2": "w4a8"}}}, "a=b": "w8i16", "c": "w1.58a3"},
        LayerBits(PAIRS),
    ],
)  # fmt: skip
def test_all_forms_say_the_same(given):
    found = build(given)
    assert found.layer_bits == LayerBits(PAIRS)
    assert found.assignment.patterns == PAIRS
    assert found.to_json()["layer_bits"] == TEXT
    assert hash(found) == hash(build(TEXT))


@pytest.mark.parametrize("given", [{}, [], LayerBits()])
def test_no_pair_is_none(given):
    assert build(given).layer_bits is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "'' is not PATTERN=BITS, such as blocks"),
        ("blocks.0", "'blocks.0' is not PATTERN=BITS, such as blocks"),
        ("a=w4a4,", "'' is not PATTERN=BITS, such as blocks"),
        ("=w4a4", "'' is not a pattern; one, such as blocks"),
        ({"a,b": "w4a4"}, "'a,b' is not a pattern; one, such as blocks"),
        ("blocks.0=w9a4", "blocks.0: 'w9a4' is not a bit width; write w<weights>"),
        ({"blocks.0": 4}, "blocks.0: '4' is not a bit width; write w<weights>"),
        ("a=w4a4,b=w4a4, a =w8a8", "a is there twice; once is accepted"),
        (["a=w4a4", 4], r"\['a=w4a4', 4\] is no table of patterns and bits, and no PATTERN=BITS"),
        (4, "4 is no table of patterns and bits, and no PATTERN=BITS"),
    ],
)
def test_what_is_not_accepted(given, words):
    with pytest.raises(UserError, match=f"^--layer-bits: {words}") as error:
        build(given)
    assert "\n" not in str(error.value)


def test_a_target_without_16_bit_integers_says_which_pattern_has_them():
    with pytest.raises(UserError, match=r"^--layer-bits: b: TensorRT has no activations of 16-bit"):
        build("a=w4a4,b=w8i16", target="tensorrt")


def test_settings_of_activations_go_with_layers_that_have_them():
    given = {"bits": "w4a16", "prefix_scales": True}
    with pytest.raises(UserError, match=r"^prefix_scales: bits='w4a16' does not use it"):
        QuantizeSettings.build(**given)
    found = QuantizeSettings.build(**given, prefix_bits=6, layer_bits="a=w4a5")
    assert found.prefix_scales
    with pytest.raises(UserError, match=r"^prefix_bits: 4 is not one; accepted with w4a5: 5, 6"):
        QuantizeSettings.build(**given, prefix_bits=4, layer_bits="a=w4a5")
    with pytest.raises(UserError, match=r"^prefix_scales: "):
        QuantizeSettings.build(**given, layer_bits="a=w8i16")


@pytest.mark.parametrize(
    ("bits", "given", "expected"),
    [
        ("w4a4", {}, (True, False, False)),
        ("w8a8", {}, (True, False, False)),
        ("w4a4", {"per_head": False}, (False, False, False)),
        ("w8a8", {"per_head": True}, (True, True, False)),
        ("w4a4", {"target": "openvino"}, (False, False, False)),
    ],
)
def test_heads_have_scales_where_the_matmul_has_few_levels(bits, given, expected):
    found = QuantizeSettings.build(bits=bits, **given)
    widths = (Bits(8, 3), Bits(8, 8), Bits(8, 16, signed=True))
    assert tuple(map(found.has_head_scales, widths)) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, (0.5, 0)), ({"head_bits": "w2a8"}, (0.5, 0)), ({"lr_head": 0.1}, (0.1, 0.1))],
)
def test_a_classifier_is_trained_where_it_has_few_levels(given, expected):
    found = QuantizeSettings.build(bits="w4a4", lr_weights=0.5, **given)
    assert (found.head_rate(2), found.head_rate(8)) == expected
