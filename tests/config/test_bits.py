"""What may be written for bits."""

import pytest

from vitquant.config.bits import ACTIVATION_BITS, WEIGHT_BITS, Bits, parse_bits
from vitquant.core.errors import UserError

PROMISED = ("w4a4", "w3a3", "w2a4", "w1.58a8", "w6a6", "w8a8", "w4a8", "w4a16", "w8i16")


@pytest.mark.parametrize("weight", WEIGHT_BITS)
@pytest.mark.parametrize("activation", ACTIVATION_BITS)
def test_every_pair_is_read_and_written_back(weight, activation):
    text = f"w{weight:g}a{activation}"
    bits = parse_bits(text)
    assert bits == Bits(weight, activation)
    assert str(bits) == text
    assert bits.quantizes_activations == (activation != 16)


@pytest.mark.parametrize("weight", WEIGHT_BITS)
def test_activations_may_be_integers_of_16_bits(weight):
    bits = parse_bits(f"w{weight:g}i16")
    assert bits == Bits(weight, 16, signed=True) != parse_bits(f"w{weight:g}a16")
    assert str(bits) == f"w{weight:g}i16"
    assert bits.quantizes_activations


@pytest.mark.parametrize("text", PROMISED)
def test_case_does_not_matter(text):
    for written in (text.upper(), text.capitalize(), text.replace("w", "W"), f" {text} "):
        assert str(parse_bits(written)) == text


@pytest.mark.parametrize(
    "text",
    [
        "w5",
        "w0a4",
        "w4a99",
        "w4a4x",
        "",
        "4",
        "a4",
        "a4w4",
        "w1a4",
        "w4a1",
        "w1.5a8",
        "w16a16",
        "w-4a4",
        "w4a4.0",
        "w4 a4",
        "w4a",
        "wa",
        "w9a8",
        "w8i8",
        "w8i15",
        "w8i",
        "i16",
        "w16i16",
        "w8ai16",
    ],
)
def test_an_error_names_what_is_accepted(text):
    with pytest.raises(UserError) as raised:
        parse_bits(text, "--head-bits")
    message = str(raised.value)
    assert message.startswith(f"--head-bits: {text!r}")
    assert "1.58, 2, 3, 4, 5, 6, 7, 8" in message
    assert "2, 3, 4, 5, 6, 7, 8, 16" in message
    assert all(example in message for example in ("w4a4", "w1.58a8", "w4a16", "w8i16"))
    assert "\n" not in message
