"""The losses of a training, thinned to fit into a checkpoint."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

KEY = "history"
"""Among the settings of a header; who reads settings passes over what is none of them."""
_POINTS, _FEWEST = 60, 2
_BYTES = 1000
_STEP, _BLOCK = "step", "block"


def thin(history: Sequence[Mapping[str, float | str]]) -> dict[str, Any]:
    """Means of the losses over equal parts of the steps, as few as keep the JSON below 1 kB.

    Returns ``steps``, the last of each part, and ``curves``: by the name of a loss, or of the block
    that was trained, a value for each part, with three significant digits.
    """
    whole: dict[str, list[tuple[int, float]]] = {}
    for entry in history:
        names = [str(entry[_BLOCK])] if _BLOCK in entry else set(entry) - {_STEP}
        for name in sorted(names):
            value = float(entry["loss" if _BLOCK in entry else name])
            whole.setdefault(name, []).append((int(entry[_STEP]), value))
    most = max(map(len, whole.values()), default=0)
    for points in range(min(_POINTS, most), 0, -1):
        found = _means(whole, points)
        if len(json.dumps(found, separators=(",", ":"))) < _BYTES or points <= _FEWEST:
            break
    return found if whole else {}


def _means(whole: Mapping[str, Sequence[tuple[int, float]]], points: int) -> dict[str, Any]:
    steps: list[int] = []
    curves: dict[str, list[float]] = {}
    for name, entries in whole.items():
        ends = [round((i + 1) * len(entries) / points) for i in range(points)]
        parts = [entries[a:b] for a, b in zip([0, *ends], ends, strict=False)]
        steps = [part[-1][0] for part in parts]
        means = (sum(value for _, value in part) / len(part) for part in parts)
        curves[name] = [float(f"{mean:.3g}") for mean in means]
    return {"steps": steps, "curves": curves}
