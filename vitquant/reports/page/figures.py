"""Numbers as a person reads them."""

import math

_SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def power_of_ten(exponent: int) -> str:
    """10⁻³."""
    return "10" + str(exponent).translate(_SUPERSCRIPT)


def figure(value: float) -> str:
    """Three significant digits; a power of ten below 0.001 and from 100,000."""
    if not math.isfinite(value):
        return "not finite"
    if value and not 1e-3 <= abs(value) < 1e5:
        mantissa, exponent = f"{value:.1e}".split("e")
        shown = f"{mantissa}·{power_of_ten(int(exponent))}"
    else:
        shown = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return shown.replace("-", "−", 1) if value < 0 else shown


def fixed(value: float, digits: int) -> str:
    """A number of digits behind the point."""
    return f"{value:.{digits}f}".replace("-", "−") if math.isfinite(value) else "not finite"


def percent(fraction: float) -> str:
    """0.5 is 50.0 %."""
    return f"{fixed(100 * fraction, 1)} %" if math.isfinite(fraction) else "not finite"


def size(count: float) -> str:
    """Bytes, in the unit of powers of 1000 that suits them."""
    for unit, name in _UNITS:
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count:,.0f} B"
