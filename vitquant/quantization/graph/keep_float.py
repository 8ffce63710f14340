"""What the user wants to stay float, taken out of what there is to quantize."""

from collections.abc import Iterable
from dataclasses import replace

from vitquant.config.bits.patterns import fits, named
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
        kept |= dict.fromkeys(named(pattern, names, label))
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
    return any(fits(pattern, name) for pattern in patterns)
