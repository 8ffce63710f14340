"""What a target makes of the settings."""

import pytest

from vitquant.config.quantize import QuantizeSettings
from vitquant.config.targets import DEFAULT_TARGET, TARGETS
from vitquant.config.targets.base import Symmetry
from vitquant.core.errors import UserError


def test_each_is_known_by_its_name():
    assert all(target.name == name for name, target in TARGETS.items())
    assert DEFAULT_TARGET in TARGETS


def test_scales_of_heads_are_for_few_bits_and_targets_that_have_them():
    def per_head(bits, target):
        return QuantizeSettings.build(bits=bits, target=target).per_head

    assert per_head("w4a4", "onnxruntime")
    assert not per_head("w8a8", "onnxruntime")
    assert not per_head("w4a4", "openvino")


@pytest.mark.parametrize("given", [{"per_head": True}, {"prefix_scales": True}, {"prefix_bits": 8}])
def test_what_a_target_cannot_take_is_refused(given):
    with pytest.raises(UserError, match=rf"{next(iter(given))}: OpenVINO computes fast with one"):
        QuantizeSettings.build(bits="w4a4", target="openvino", **given)


@pytest.mark.parametrize("name", ["bits", "patch_embed_bits", "head_bits"])
def test_tensorrt_has_no_16_bit_integers(name):
    given = {"bits": "w8a8"} | {name: "w8i16"}
    with pytest.raises(
        UserError, match=rf"^{name}: TensorRT has no activations of 16-bit integers"
    ):
        QuantizeSettings.build(target="tensorrt", **given)


@pytest.mark.parametrize(
    ("symmetry", "negative", "expected"),
    [
        (Symmetry.NONE, True, False),
        (Symmetry.SIGNED, True, True),
        (Symmetry.SIGNED, False, False),
        (Symmetry.ALL, False, True),
    ],
)
def test_symmetry(symmetry, negative, expected):
    assert symmetry.holds(negative) is expected


def test_shifts_need_something_to_shift():
    with pytest.raises(UserError, match=r"lr_shifts: nothing is shifted.*stored_rescaling"):
        QuantizeSettings.build(bits="w4a4", lr_shifts=0.1)
    QuantizeSettings.build(bits="w4a4", lr_shifts=0.1, prefix_scales=True)
