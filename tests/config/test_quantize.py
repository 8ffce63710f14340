"""The settings of a quantization run."""

import json

import pytest

from vitquant.config.bits import BitAssignment, Bits
from vitquant.config.naming import OPTIONS
from vitquant.config.quantize import METHODS, QuantizeSettings
from vitquant.core.errors import UserError

NAMES = ("lr_weights", "lr_head", "lr_norms", "hold", "teacher_forcing", "mixup", "cutmix")


def build(bits, **given):
    return QuantizeSettings.build(naming=OPTIONS, bits=bits, **given)


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        ("w4a4", (3e-3, 0, 1e-3, 0.5, 0.3, 0, 0)),
        ("w3a8", (3e-3, 0, 1e-3, 0.5, 0.3, 0, 0)),
        ("w1.58a8", (5e-3, 5e-3, 0, 0, 0, 0.3, 0.5)),
    ],
)
def test_ternary_weights_have_defaults_of_their_own(bits, expected):
    chosen = build(bits)
    assert tuple(getattr(chosen, name) for name in NAMES) == expected


def test_what_is_given_stays():
    given = {"lr_norms": 1.0, "mixup": 0.0, "cutmix": 1.0}
    assert given.items() <= build("w1.58a8", **given).to_json().items()


@pytest.mark.parametrize(
    "name", ["hold", "mixup", "cutmix", "teacher_forcing", "hflip", "min_crop", "color_jitter"]
)
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_shares_are_from_0_to_1(name, value):
    flag = f"--{name.replace('_', '-')}: "
    with pytest.raises(UserError, match=f"^{flag}{value} is not from 0 to 1"):
        build("w4a4", **{name: value})


@pytest.mark.parametrize(("bits", "rate"), [("w8a8", 0), ("w3a3", 0), ("w2a8", 0.5)])
def test_only_a_classifier_of_few_bits_is_trained(bits, rate):
    assert build(bits, lr_weights=0.5).lr_head == rate
    assert build("w8a8", head_bits=bits, lr_weights=0.5).lr_head == rate


@pytest.mark.parametrize("bits", ["w4a4", "w1.58a8", "w4a16", "w4i16"])
def test_the_patch_embedding_has_8_bits(bits):
    found = build(bits)
    first = {"w4a16": Bits(8, 16), "w4i16": Bits(8, 16, signed=True)}.get(bits, Bits(8, 8))
    assert found.assignment == BitAssignment(found.bits, first, found.bits)
    given = build(bits, patch_embed_bits="W6A6", head_bits="w5a5").assignment
    assert given == BitAssignment(found.bits, Bits(6, 6), Bits(5, 5))


def test_bits_are_needed():
    with pytest.raises(UserError, match=r"^--bits: it is missing, .* such as w4a4"):
        build(None)
    with pytest.raises(UserError, match=r"^--head-bits: 'x' is not a bit width; "):
        build("w4a4", head_bits="x")


@pytest.mark.parametrize("calib", ["noise", "inversion", "inverted", "photographs"])
def test_biases_are_corrected_by_images_whose_means_are_right(calib, tmp_path):
    for name, run in (("inverted", {"inversion": {}}), ("photographs", {})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vitquant.json").write_text(json.dumps({"run": run}))
    source = str(tmp_path / calib) if (tmp_path / calib).is_dir() else calib
    assert build("w4a4", method="dfq", calib=source).correct_bias is (calib == "photographs")


@pytest.mark.parametrize(
    ("bits", "given", "words"),
    [
        ("w4a16", {"prefix_bits": 8}, "--prefix-bits: --bits w4a16 does not use it"),
        ("w4i16", {"prefix_bits": 8}, "--prefix-bits: "),
        ("w4a4", {"prefix_bits": 3}, "--prefix-bits: 3 is not one; accepted with w4a4: 4, 5, 6"),
        ("w4a4", {"prefix_bits": 16}, "--prefix-bits: 16 is not one; accepted with w4a4: 4, 5"),
        (
            "w4a4",
            {"prefix_bits": 8, "prefix_scales": False},
            "--prefix-bits: it goes with --prefix-scales; add that, or leave it out",
        ),
    ],
)
def test_prefix_bits_are_more_than_those_of_activations(bits, given, words):
    with pytest.raises(UserError) as error:
        build(bits, **given)
    assert str(error.value).startswith(words)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"steps": 5, "method": "rtn"},
            "--steps: --method rtn does not use it; leave it out, or choose --method joint or "
            "block",
        ),
        ({"hflip": 0.0, "method": "block"}, "--hflip: --method block does not use it"),
        ({"grad_checkpointing": True, "method": "block"}, "--grad-checkpointing: --method block"),
        ({"lr_head": 0.0, "method": "block"}, "--lr-head: --method block does not use it"),
        (
            {"damping": 0.5},
            "--damping: --method joint does not use it; leave it out, or choose --method dfq or "
            "--start dfq",
        ),
        ({"reparameterize": True, "start": "dfq"}, "--reparameterize: --method joint does not"),
        ({"start": "dfq", "method": "dfq"}, "--start: --method dfq does not use it"),
        ({"prompts": "a", "calib": "template"}, "--prompts: --calib template does not use it"),
        ({"generator": "a", "calib": "noise"}, "--generator: --calib noise does not use it"),
        (
            {"per_head": False, "bits": "w4a16"},
            "--per-head: --bits w4a16 does not use it; leave it out, or choose --bits of "
            "activations of 8 bits or fewer",
        ),
        ({"per_head": True, "bits": "w8i16"}, "--per-head: --bits w8i16 does not use it"),
        ({"prefix_scales": True, "bits": "w8i16"}, "--prefix-scales: --bits w8i16 does not use it"),
        ({"prefix_scales": True, "bits": "w4a16"}, "--prefix-scales: --bits w4a16 does not use it"),
    ],
)
def test_what_the_method_does_not_use_is_refused(given, words):
    with pytest.raises(UserError) as error:
        build(**{"bits": "w4a4"} | given)
    assert str(error.value).startswith(words)


@pytest.mark.parametrize(
    "given", [{"method": "dfq"}, {"start": "dfq"}, {"method": "block", "start": "dfq"}]
)
def test_a_correction_has_a_damping(given):
    assert build("w4a4", damping=0.5, correct_bias=False, **given).damping == 0.5


@pytest.mark.parametrize("method", METHODS)
def test_a_method_stores_what_it_uses(method):
    stored = build("W4A4", method=method, calib="noise").to_json()
    assert json.loads(json.dumps(stored)) == stored
    assert (stored["bits"], stored["patch_embed_bits"], stored["head_bits"]) == (
        "w4a4",
        "w8a8",
        "w4a4",
    )
    trained = method in ("joint", "block")
    assert [name in stored for name in ("steps", "lr_scales", "precision")] == [trained] * 3
    assert ("damping" in stored) is (method == "dfq")
    assert ("mixup" in stored) is (method == "joint")
    assert "allow_float" in stored
    assert "generator" not in stored


@pytest.mark.parametrize("given", ["a.*,b", ["a.*", "b"], ("a.*,b",), " a.* , b"])
def test_patterns_are_given_in_several_ways(given):
    found = QuantizeSettings.build(bits="w4a4", keep_float=given)
    assert found.keep_float == ("a.*", "b")
    assert found.to_json()["keep_float"] == "a.*,b"


@pytest.mark.parametrize("given", ["", "a,,b", ["a", 3], 3, [""]])
def test_patterns_that_are_none(given):
    with pytest.raises(UserError, match=r"^keep_float: .* is not a pattern, or several"):
        QuantizeSettings.build(bits="w4a4", keep_float=given)
