"""Bits of single layers: patterns of names, each with a bit width."""

from collections.abc import Iterator, Mapping
from typing import Any

from vitquant.config.bits import Bits, parse_bits
from vitquant.core.errors import UserError

_EXAMPLE = "such as blocks.*.mlp.fc2=w4a8"


class LayerBits(tuple[tuple[str, Bits], ...]):
    """Patterns with their bits, in order: of those that fit a name, the last wins.

    In text ``PATTERN=BITS``, with commas between.
    """

    __slots__ = ()

    def __str__(self) -> str:
        return ",".join(f"{pattern}={bits}" for pattern, bits in self)


def parse_layer_bits(value: Any, label: str) -> LayerBits | None:
    """Of a mapping, of text, or of a list of texts, each with commas or without; None for no pair.

    A mapping in a mapping is what TOML makes of names with dots that are not in quotes.

    Raises:
        UserError: it is none of these, a pair is malformed, a width is not supported, or a pattern
            is there twice.
    """
    found: dict[str, Bits] = {}
    for pattern, bits in _pairs(value, label):
        pattern = pattern.strip()
        if not pattern or "," in pattern:
            raise UserError(f"{label}: {pattern!r} is not a pattern; one, {_EXAMPLE}, is accepted")
        if pattern in found:
            raise UserError(f"{label}: {pattern} is there twice; once is accepted")
        found[pattern] = (
            bits if isinstance(bits, Bits) else parse_bits(str(bits), f"{label}: {pattern}")
        )
    return LayerBits(found.items()) if found else None


def _pairs(value: Any, label: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, LayerBits):
        yield from value
    elif isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        for name, bits in value.items():
            inside = _pairs(bits, label) if isinstance(bits, Mapping) else None
            if inside is None:
                yield name, bits
            else:
                yield from ((f"{name}.{rest}", own) for rest, own in inside)
    else:
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list | tuple) or not all(isinstance(t, str) for t in texts):
            raise UserError(
                f"{label}: {value!r} is no table of patterns and bits, and no PATTERN=BITS, "
                f"{_EXAMPLE}"
            )
        for pair in (pair for text in texts for pair in text.split(",")):
            pattern, separator, bits = pair.rpartition("=")
            if not separator:
                raise UserError(f"{label}: {pair.strip()!r} is not PATTERN=BITS, {_EXAMPLE}")
            yield pattern, bits
