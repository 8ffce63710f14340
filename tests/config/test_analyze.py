"""Settings of an analysis."""

import pytest

from vitquant.config.analyze import AnalyzeSettings, BitsList
from vitquant.config.bits import Bits
from vitquant.config.naming import OPTIONS
from vitquant.core.errors import UserError


def test_several_widths():
    assert BitsList.parse("w2a8, w4a4", "--bits") == (Bits(2, 8), Bits(4, 4))
    assert BitsList.parse(["w2a8", "w4a4"], "bits") == (Bits(2, 8), Bits(4, 4))
    assert str(BitsList.parse("w1.58a8,w4a16", "")) == "w1.58a8,w4a16"


@pytest.mark.parametrize(
    ("text", "message"),
    [("w4", "'w4' is not a bit width"), ("w4a4,w4a4", "w4a4 is there twice"), ("", "'' is not a")],
)
def test_what_is_no_list(text, message):
    with pytest.raises(UserError, match=f"^--bits: {message}"):
        BitsList.parse(text, "--bits")


def test_as_settings_of_a_quantization():
    settings = AnalyzeSettings.build(
        None, OPTIONS, bits="w2a8,w4a8", calib="digits", sensitivity_images=8, seed=2
    )
    quantization = settings.quantization
    assert (quantization.bits, quantization.method, quantization.seed) == (Bits(2, 8), "rtn", 2)
    assert quantization.calib == "digits"


def test_widths_that_the_target_lacks():
    with pytest.raises(UserError, match="--bits: TensorRT has no activations of 16-bit integers"):
        AnalyzeSettings.build(None, OPTIONS, bits="w4a4,w8i16", calib="digits", target="tensorrt")
