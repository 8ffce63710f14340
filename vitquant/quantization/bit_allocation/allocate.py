"""The choice of bits with the least loss that fits a budget: an integer program.

Losses of points are taken to add up, as in HAWQ-V3 (Yao et al., arXiv 2011.10680), and the choice
is solved exactly by HiGHS (``scipy.optimize.milp``).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from vitquant.config.bits import Bits

# Seconds, and the part of the loss, after which a choice is good enough: both are far below what
# the sum of losses is off by.
_SECONDS, _GAP = 20.0, 1e-3


class Option(NamedTuple):
    """What a point could be quantized to.

    loss: that is expected of it. bytes: of its weights. activation_bits: bits times values of its
    activations. changes: whether it is another than now.
    """

    bits: Bits
    loss: float
    bytes: int
    activation_bits: float = 0.0
    changes: bool = False


def allocate(
    options: Mapping[str, Sequence[Option]],
    max_bytes: float,
    max_activation_bits: float = float("inf"),
    max_changes: float = float("inf"),
) -> dict[str, Bits] | None:
    """Bits for each point, by name; None where nothing fits.

    Args:
        options: of each point.
        max_bytes: that all weights may have together.
        max_activation_bits: the sum that they may have.
        max_changes: how many points may change.
    """
    flat = [(i, option) for i, own in enumerate(options.values()) for option in own]
    point = np.array([i for i, _ in flat])
    one_each = csr_array(
        (np.ones(len(flat)), (point, np.arange(len(flat)))), (len(options), len(flat))
    )
    constraints = [LinearConstraint(one_each, 1, 1)]
    limits = {"bytes": max_bytes, "activation_bits": max_activation_bits, "changes": max_changes}
    for name, most in limits.items():
        if np.isfinite(most):
            row = np.array([[float(getattr(option, name)) for _, option in flat]])
            # In parts of the whole: a solver's tolerance is absolute.
            unit = max(1.0, most)
            constraints.append(LinearConstraint(row / unit, -np.inf, most / unit))
    loss = np.array([option.loss for _, option in flat])
    found = milp(
        loss / max(loss.max(), 1e-12),
        integrality=np.ones(len(flat)),
        bounds=Bounds(0, 1),
        constraints=constraints,
        options={"time_limit": _SECONDS, "mip_rel_gap": _GAP},
    )
    if found.x is None:
        return None
    chosen = {i: option.bits for (i, option), x in zip(flat, found.x, strict=True) if x > 0.5}
    return {name: chosen[i] for i, name in enumerate(options)}


def total(options: Mapping[str, Sequence[Option]], bits: Mapping[str, Bits], field: str) -> float:
    """The sum of ``field`` over all points at ``bits``."""
    return sum(
        getattr(option, field) for name, own in options.items() for option in own
        if option.bits == bits[name]
    )  # fmt: skip
