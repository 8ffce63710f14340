"""From the bits of every layer and matmul to few patterns."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from glob import escape

from vitquant.config.bits import Bits
from vitquant.config.bits.layer_bits import LayerBits
from vitquant.config.bits.patterns import BLOCK_NUMBER, family, fits

_Pairs = list[tuple[str, Bits]]

_MATMUL = re.compile(r"(.*\bproducts)\.\d+")


def summarize_layer_bits(wanted: Mapping[str, Bits], given: Mapping[str, Bits]) -> LayerBits:
    """Patterns that give every name the bits that are wanted, and that are short as text.

    Names that differ in the number of a block share a pattern, such as ``blocks.*.mlp.fc2`` for
    all, before ``blocks.[03].mlp.fc2`` for those with other bits.

    Args:
        wanted: by the names of all layers and matmuls, as patterns have them.
        given: what they have without patterns.
    """
    found: _Pairs = []
    for pattern, members in _families(wanted).items():
        # A matmul of either index stands for both.
        changed = {name: wanted[m[0]] for name, m in members.items() if _differ(m, wanted, given)}
        choices = [list(_merged(changed))]
        inside = {name for names in members.values() for name in names}
        if len(members) > 1 and all(name in inside for name in wanted if fits(pattern, name)):
            bits = {name: wanted[names[0]] for name, names in members.items()}
            usual = Counter(bits.values()).most_common(1)[0][0]
            others = {name: own for name, own in bits.items() if own != usual}
            choices.insert(0, [(pattern, usual), *_merged(others)])
        found += min(choices, key=lambda pairs: len(str(LayerBits(pairs))))
    if _expanded(found, given) == dict(wanted):
        return LayerBits(found)
    # Where layers are inside layers, those outside come first.
    names = sorted(wanted, key=lambda name: name.count("."))
    return LayerBits((escape(name), wanted[name]) for name in names)


def _families(wanted: Mapping[str, Bits]) -> dict[str, dict[str, list[str]]]:
    """Patterns in place of numbers → the names that they were → what each of these stands for.

    Of modules whose matmuls have the same bits, all matmuls are one name.
    """
    modules: dict[str, list[str]] = {}
    for name in wanted:
        if match := _MATMUL.fullmatch(name):
            modules.setdefault(match[1], []).append(name)
    uneven = {
        family(module)
        for module, names in modules.items()
        if len({wanted[name] for name in names}) > 1
    }
    families: dict[str, dict[str, list[str]]] = {}
    for name in wanted:
        match = _MATMUL.fullmatch(name)
        unit = match[1] if match and family(match[1]) not in uneven else name
        families.setdefault(family(unit), {}).setdefault(unit, []).append(name)
    return families


def _differ(names: Iterable[str], wanted: Mapping[str, Bits], given: Mapping[str, Bits]) -> bool:
    return any(wanted[name] != given[name] for name in names)


def _merged(bits: Mapping[str, Bits]) -> Iterator[tuple[str, Bits]]:
    """Names of the same bits as one pattern where they differ in the last digit of a number."""
    groups: dict[tuple[str, str, Bits], str] = {}
    for name, own in bits.items():
        numbers = list(BLOCK_NUMBER.finditer(name))
        end = numbers[-1].end() if numbers else 0
        key = escape(name[: max(end - 1, 0)]), escape(name[end:]), own
        groups[key] = groups.get(key, "") + name[max(end - 1, 0) : end]
    for (start, end_, own), digits in groups.items():
        yield start + (f"[{digits}]" if len(digits) > 1 else digits) + end_, own


def _expanded(pairs: _Pairs, given: Mapping[str, Bits]) -> dict[str, Bits]:
    found = dict(given)
    for pattern, bits in pairs:
        found |= {name: bits for name in found if fits(pattern, name)}
    return found
