import pytest

from vitquant.errors import UserError

NAMES = ("lr_weights", "lr_norms", "hold", "teacher_forcing", "mixup", "cutmix")


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        ("w4a4", (1e-4, 1e-3, 0.5, 0.3, 0, 0)),
        ("w3a8", (1e-4, 1e-3, 0.5, 0.3, 0, 0)),
        ("w1.58a8", (3e-4, 0, 0, 0, 0.3, 0.5)),
    ],
)
def test_ternary_weights_have_defaults_of_their_own(bits, expected, settings):
    chosen = settings(bits, "joint")
    assert tuple(getattr(chosen, name) for name in NAMES) == expected


def test_what_is_given_stays(settings):
    given = {"lr_weights": 0.0, "mixup": 0.0, "cutmix": 1.0}
    assert given.items() <= settings("w1.58a8", "joint", **given).to_json().items()


@pytest.mark.parametrize("name", ["hold", "mixup", "cutmix", "teacher_forcing", "flip", "min_crop"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_shares_are_from_0_to_1(name, value, settings):
    flag = f"--{name.replace('_', '-')}: "
    with pytest.raises(UserError, match=f"^{flag}{value} is not from 0 to 1"):
        settings("w4a4", "joint", **{name: value})
