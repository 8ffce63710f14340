import pytest

from vitquant.core.errors import UserError

NAMES = ("lr_weights", "lr_head", "lr_norms", "hold", "teacher_forcing", "mixup", "cutmix")


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        ("w4a4", (3e-3, 0, 1e-3, 0.5, 0.3, 0, 0)),
        ("w3a8", (3e-3, 0, 1e-3, 0.5, 0.3, 0, 0)),
        ("w1.58a8", (5e-3, 5e-3, 0, 0, 0, 0.3, 0.5)),
    ],
)
def test_ternary_weights_have_defaults_of_their_own(bits, expected, settings):
    chosen = settings(bits, "joint")
    assert tuple(getattr(chosen, name) for name in NAMES) == expected


def test_what_is_given_stays(settings):
    given = {"lr_norms": 1.0, "mixup": 0.0, "cutmix": 1.0}
    assert given.items() <= settings("w1.58a8", "joint", **given).to_json().items()


@pytest.mark.parametrize("name", ["hold", "mixup", "cutmix", "teacher_forcing", "flip", "min_crop"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_shares_are_from_0_to_1(name, value, settings):
    flag = f"--{name.replace('_', '-')}: "
    with pytest.raises(UserError, match=f"^{flag}{value} is not from 0 to 1"):
        settings("w4a4", "joint", **{name: value})


@pytest.mark.parametrize(("bits", "rate"), [("w8a8", 0), ("w3a3", 0), ("w2a8", 0.5)])
def test_only_a_classifier_of_few_bits_is_trained(bits, rate, settings):
    assert settings(bits, "joint", lr_weights=0.5).lr_head == rate
