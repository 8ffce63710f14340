"""Numbers as text."""

import pytest

from vitquant.reports.page.figures import figure, fixed, percent, size

_NAN = float("nan")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"), (0.00123456, "0.00123"), (0.000123456, "1.2·10⁻⁴"), (-0.5, "−0.5"),
        (-3e-7, "−3.0·10⁻⁷"), (1234.5, "1,234"), (2.5e6, "2.5·10⁶"), (99.96, "100"),
        (_NAN, "not finite"), (float("inf"), "not finite"),
    ],
)  # fmt: skip
def test_three_digits(value, shown):
    assert figure(value) == shown


def test_percent_and_size():
    assert percent(0.7254) == "72.5 %"
    assert percent(-0.012) == "−1.2 %"
    assert fixed(-0.12345, 3) == "−0.123"
    assert fixed(_NAN, 3) == percent(_NAN) == "not finite"
    assert [size(n) for n in (999, 1500, 3_290_000)] == ["999 B", "1.5 kB", "3.29 MB"]
