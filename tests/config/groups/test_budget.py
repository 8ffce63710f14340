"""Sizes, widths to choose from, and what contradicts a budget."""

import pytest

from vitquant.config.bits import Bits
from vitquant.config.groups.budget import Choices, Size
from vitquant.config.naming import OPTIONS
from vitquant.config.quantize import QuantizeSettings
from vitquant.core.errors import UserError


def build(**given):
    return QuantizeSettings.build(None, OPTIONS, method="rtn", calib="digits", **given)


@pytest.mark.parametrize(
    ("text", "bytes"),
    [("3MB", 3_000_000), ("2.5 MiB", 2_621_440), ("300kb", 300_000), ("1234", 1234), (99, 99)],
)
def test_sizes(text, bytes):
    size = Size.parse(text, "--max-size")
    assert size == bytes
    assert Size.parse(str(size), "") == size


@pytest.mark.parametrize("text", ["", "MB", "-3MB", "3XB", "0", "1e6", True, 2.5, "0.1"])
def test_what_is_no_size(text):
    with pytest.raises(UserError, match=r"^--max-size: .* is not a size; .* such as 3MB"):
        Size.parse(text, "--max-size")


def test_choices_are_every_combination():
    choices = Choices.parse("a8, w4,W1.58,a4", "")
    assert str(choices) == "w1.58,w4,a4,a8"
    assert choices.bits == [Bits(1.58, 4), Bits(1.58, 8), Bits(4, 4), Bits(4, 8)]
    assert Choices.parse(str(choices), "") == choices


def test_a_kind_that_is_left_out_has_its_defaults():
    assert Choices.parse("w2,w4", "").activations == (8,)
    assert Choices.parse("a4", "").weights == (1.58, 2, 3, 4, 6, 8)


@pytest.mark.parametrize("text", ["w9", "a16", "w4a4", "", "w4,,w8", "x2"])
def test_what_is_no_width(text):
    with pytest.raises(UserError, match=r"^--choices: .* is not a width; w1.58, .* a2 to a8"):
        Choices.parse(text, "--choices")


def test_a_width_twice():
    with pytest.raises(UserError, match=r"^--choices: w4 is there twice; once is accepted"):
        Choices.parse("w4,w2,w4", "--choices")


def test_without_bits_one_of_the_choices_stands_for_all():
    assert build(max_size="3MB").bits == Bits(4, 8)
    assert build(min_agreement=0.9, choices="w2,w3,a3,a4").bits == Bits(3, 4)
    assert build(max_size="3MB").has_budget
    assert not build(bits="w4a4").has_budget


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"bits": "w4a4", "max_size": "3MB"},
            "--bits: with --max-size bits are chosen from --choi",
        ),
        ({"max_size": "3MB", "min_agreement": 0.9}, "--min-agreement: cannot be combined with --m"),
        ({"bits": "w4a4", "choices": "w2,w4"}, "--choices: it goes with --max-size or --min-agr"),
        ({"bits": "w4a4", "refine": 1}, "--refine: it goes with --max-size or --min-agreement"),
        ({"min_agreement": 1.5}, "--min-agreement: 1.5 is not from 0 to 1"),
        ({"max_size": "3MB", "mean_activation_bits": 4.0}, "has one width of activations; add"),
        (
            {"max_size": "3MB", "choices": "a4,a8", "mean_activation_bits": 3.0},
            "--mean-activation-bits: 3 is not 4 or more and less than 8, the widths of activations",
        ),
        (
            {"max_size": "3MB", "choices": "a4,a8", "mean_activation_bits": 8.0},
            "--mean-activation-bits: 8 is not 4 or more and less than 8, the widths of activations",
        ),
        (
            {"max_size": "3MB", "choices": "a4,a8", "mean_activation_bits": float("nan")},
            "--mean-activation-bits: nan is not 4 or more and less than 8, the widths of activ",
        ),
        ({}, "--bits: it is missing, as are --max-size and --min-agreement"),
    ],
)
def test_contradictions(given, message):
    with pytest.raises(UserError, match=message):
        build(**given)


def test_a_choice_takes_the_place_of_the_budget():
    before = build(max_size="3MB", choices="w2,w4", seed=3)
    after = before.changed(bits="w2a8", layer_bits="head=w4a8", max_size=None, choices=None)
    assert not after.has_budget
    assert (str(after.bits), str(after.layer_bits), after.seed) == ("w2a8", "head=w4a8", 3)
    # Defaults follow the bits.
    joint = QuantizeSettings.build(None, OPTIONS, max_size="3MB", method="joint", lr_scales=0.1)
    ternary = joint.changed(bits="w1.58a8", max_size=None)
    assert (ternary.stored_rescaling, ternary.lr_scales) == (True, 0.1)
    assert not joint.stored_rescaling
