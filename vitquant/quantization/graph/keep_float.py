"""What the user wants to stay float, taken out of what there is to quantize."""

from collections.abc import Iterable
from dataclasses import replace
from difflib import get_close_matches
from fnmatch import fnmatchcase

from vitquant.core.errors import UserError
from vitquant.quantization.graph.points import QuantizationPoints

KEPT = "kept float by --keep-float"
"""The reason that reports give."""


def keep_float(
    points: QuantizationPoints, patterns: Iterable[str], label: str
) -> QuantizationPoints:
    """``points`` without the layers, matmuls and unsupported parts that patterns name.

    A pattern names a module and all in it. The matmuls of a module are also called as reports call
    them: the module's name and ``products``. label: of the setting, for messages.

    Raises:
        UserError: a pattern names nothing that could be quantized.
    """
    layers = [point.name for point in points.layers]
    matmuls = {f"{name}.products" if name else "products": name for name in points.attentions}
    names = [*layers, *matmuls, *points.unsupported]
    kept: dict[str, None] = {}
    for pattern in patterns:
        found = [name for name in names if is_kept(name, [pattern])]
        if not found:
            raise UserError(
                f"{label}: {pattern!r} names no layer and no matmul{_near(pattern, names)}; "
                f"vitquant inspect lists those of a checkpoint"
            )
        kept |= dict.fromkeys(found)
    attentions = {matmuls[name] for name in kept if name in matmuls}
    return replace(
        points,
        layers=tuple(point for point in points.layers if point.name not in kept),
        matmuls=tuple(point for point in points.matmuls if point.module not in attentions),
        functional={n: caller for n, caller in points.functional.items() if n not in kept},
        unsupported={n: why for n, why in points.unsupported.items() if n not in kept},
        kept=tuple(kept),
    )


def is_kept(name: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns names a module, or one around it."""
    return any(fnmatchcase(n, pattern) for pattern in patterns for n in _around(name))


def _around(name: str) -> list[str]:
    """A name, and those of the modules around it."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _near(pattern: str, names: Iterable[str]) -> str:
    known = dict.fromkeys(around for name in names for around in _around(name))
    near = get_close_matches(pattern, known, 3, cutoff=0.5) or list(known)[:3]
    return f"; such as {', '.join(near)}" if near else ""
