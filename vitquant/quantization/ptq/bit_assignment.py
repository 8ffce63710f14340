"""From bits by the place in a network to the bits of each of its layers and matmuls."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from vitquant.config.bits import BitAssignment, Bits
from vitquant.config.bits.patterns import fits, named
from vitquant.core.errors import UserError
from vitquant.quantization.graph.keep_float import KEPT
from vitquant.quantization.graph.points import MatmulPoint, QuantizationPoints


@dataclass(frozen=True)
class PointBits:
    """layers: by name. matmuls: by module and index; both operands have bits of activations."""

    layers: Mapping[str, Bits]
    matmuls: Mapping[tuple[str, int], Bits]

    def by_name(self) -> dict[str, Bits]:
        """Of layers and matmuls, by the names that patterns have for them."""
        matmuls = {MatmulPoint(*key).name: bits for key, bits in self.matmuls.items()}
        return {**self.layers, **matmuls}


def assign_bits(
    assignment: BitAssignment,
    classifier_names: Collection[str],
    points: QuantizationPoints,
    label: str = "layer_bits",
) -> PointBits:
    """The bits of every point of a float model: patch embedding, classifiers, and all others.

    Patterns come before places, and of several that fit, the last wins. label: of their setting,
    for messages.

    Raises:
        UserError: a pattern names nothing, or nothing that later ones leave to it, or some matmuls
            of a module are to stay float and others are not.
    """
    found = dict.fromkeys(names_of(points), assignment.bits)
    found |= {name: assignment.head for name in found if name in classifier_names}
    if points.stem in found:
        found[points.stem] = assignment.patch_embed
    winning: dict[str, str] = {}
    for pattern, bits in assignment.patterns:
        names = _named(pattern, points, label)
        found |= dict.fromkeys(names, bits)
        winning |= dict.fromkeys(names, pattern)
    for pattern, _ in assignment.patterns:
        if pattern not in winning.values():
            raise UserError(
                f"{label}: later patterns name all that {pattern} names; leave it out, or write it "
                f"behind them"
            )
    _check_matmuls(found, points, label)
    return PointBits(
        {point.name: found[point.name] for point in points.layers},
        {point.key: found[point.name] for point in points.matmuls},
    )


def names_of(points: QuantizationPoints) -> list[str]:
    """Of layers and matmuls, as patterns name them."""
    return [point.name for point in points.layers] + [point.name for point in points.matmuls]


def _named(pattern: str, points: QuantizationPoints, label: str) -> list[str]:
    names = names_of(points)
    # The matmuls of a module are kept together, without an index.
    kept = [own for name in points.kept for own in (name, f"{name}.0", f"{name}.1")]
    if any(fits(pattern, name) for name in kept) and not any(fits(pattern, n) for n in names):
        raise UserError(f"{label}: all that {pattern} names is {KEPT}; leave one of them out")
    return named(pattern, names, label)


def _check_matmuls(found: Mapping[str, Bits], points: QuantizationPoints, label: str) -> None:
    for module in points.attentions:
        own = {p.name: found[p.name] for p in points.matmuls if p.module == module}
        if len({bits.quantizes_activations for bits in own.values()}) > 1:
            shown = ", ".join(f"{name} {bits}" for name, bits in own.items())
            raise UserError(
                f"{label}: the matmuls of a module stay float together, and of these some do and "
                f"others do not: {shown}; a16 for all of them, or for none, is accepted"
            )
