"""The tensors of a file under the names that a network gives them, or one line why they differ."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isqrt

from torch import Tensor

from vitquant.config.values import format_input_size
from vitquant.core.errors import UserError
from vitquant.models.weight_files.other_libraries import recognize

# Derived from the architecture, or counted in training: a file may have them or not.
_DERIVED = ("relative_position_index", "relative_coords_table", "attn_mask", "num_batches_tracked")
# Where a file holds a model more than once, the averaged one is meant.
_AVERAGED = ("ema", "teacher")
_MOST_PREFIX_TOKENS = 16


@dataclass(frozen=True)
class Wanted:
    """What a network needs of a file.

    Attributes:
        tensors: its ``state_dict``; shapes and types are looked at, not values.
        library: whose names they are.
        classifiers: how the names of the layers that give the classes begin. A network without
            classes has them too, to know what to leave out.
        resize: whether positions of another number of patches are let through.
    """

    tensors: Mapping[str, Tensor]
    library: str
    classifiers: tuple[str, ...] = ()
    resize: bool = False


@dataclass
class Matched:
    """Tensors by the network's names: all but, perhaps, buffers that it derives itself.

    resized: the names of positions that the caller has to resample. notes: what the user should
    know, a line each.
    """

    tensors: dict[str, Tensor]
    resized: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def match_names(tensors: Mapping[str, Tensor], wanted: Wanted, where: str) -> Matched:
    """Find a network's tensors in a file, whose names may have a prefix in common.

    Args:
        tensors: of the file.
        wanted: what the network needs.
        where: which file, as messages begin.

    Raises:
        UserError: they are of another library or architecture, of another number of classes, or of
            another input size.
    """
    prefix = common_prefix(tensors, wanted.tensors)
    # A classifier that was put on a backbone may stand beside it, without the prefix.
    places = {n: prefix + n if prefix + n in tensors else n for n in wanted.tensors}
    places = {name: place for name, place in places.items() if place in tensors}
    missing = wanted.tensors.keys() - places.keys()
    inside = {name.removeprefix(prefix) for name in tensors if name.startswith(prefix)}
    extra = inside - wanted.tensors.keys()
    is_other = len(missing) > len(places)
    if is_other and (other := recognize(tensors, wanted.library)):
        raise UserError(f"{where} has {other}")
    if is_other:  # shapes that differ would say less
        _check_complete(missing, extra, prefix, wanted, where)
    found = {name: tensors[place] for name, place in places.items()}
    matched = Matched({n: t for n, t in found.items() if not _is_stale(n, t, wanted)})
    _check_types(matched, wanted, where)
    _check_shapes(matched, wanted, where)
    _check_complete(missing, extra, prefix, wanted, where)
    if prefix:
        rest = len(tensors.keys() - places.values())
        outside = f", and {rest} other tensors were left out" if rest else ""
        matched.notes.append(f"{where}: {prefix} before the names was removed{outside}")
    return matched


def common_prefix(names: Iterable[str], wanted: Iterable[str]) -> str:
    """What precedes most of the wanted names in ``names``, such as ``"module."``; mostly nothing.

    Of several that fit alike, none wins, then an averaged model's, then the shortest.
    """
    wanted = set(wanted)
    counts: Counter[str] = Counter()
    for name in names:
        parts = name.split(".")
        for i in range(len(parts)):
            if ".".join(parts[i:]) in wanted:
                counts["".join(f"{part}." for part in parts[:i])] += 1
    most = max(counts.values(), default=0)

    def rank(prefix: str) -> tuple[bool, bool, int, str]:
        averaged = any(word in prefix.lower() for word in _AVERAGED)
        return prefix != "", not averaged, len(prefix), prefix

    return min((prefix for prefix, count in counts.items() if count == most), key=rank, default="")


def _check_types(matched: Matched, wanted: Wanted, where: str) -> None:
    for name, tensor in matched.tensors.items():
        if wanted.tensors[name].is_floating_point() and not tensor.is_floating_point():
            raise UserError(
                f"{where}: {name} is {str(tensor.dtype).removeprefix('torch.')}; weights in "
                f"float32, float16, bfloat16 or float64 are accepted"
            )


def _check_shapes(matched: Matched, wanted: Wanted, where: str) -> None:
    """Refuse other shapes, first those that no option makes fit; note positions to resample."""
    classes: list[str] = []
    positions: list[str] = []
    for name in sorted(matched.tensors):
        given, own = _shape(matched.tensors[name]), _shape(wanted.tensors[name])
        if given == own:
            continue
        if given[1:] == own[1:] and name.startswith(wanted.classifiers):
            classes.append(name)
        elif len(given) == len(own) and _is_position(name):
            positions.append(name)
        else:
            raise UserError(f"{where}: {_of_other_shape(name, given, own)}")
    if classes:
        count, needed = (t[classes[0]].shape[0] for t in (matched.tensors, wanted.tensors))
        words = f"{count} class{'es' if count > 1 else ''}"
        raise UserError(f"{where} has {words}, the model {needed}; say --num-classes {count}")
    if positions and not wanted.resize:
        name = positions[0]
        given, own = _shape(matched.tensors[name]), _shape(wanted.tensors[name])
        size = _input_size(given, own, wanted.tensors)
        say = f"say --input-size {size}" if size else "say --input-size N, the size it was made for"
        raise UserError(
            f"{where}: {name} is {given}, the model needs {own}: it is of another input size; {say}"
        )
    matched.resized = positions


def _of_other_shape(name: str, given: tuple[int, ...], own: tuple[int, ...]) -> str:
    if len(given) == len(own) == 4 and given[:2] == own[:2] and "patch" in name:
        return (
            f"the patches are {given[2]}x{given[3]} pixels, the model's {own[2]}x{own[3]}; name "
            f"an architecture with patches of {given[2]}x{given[3]}"
        )
    return f"{name} is {given}, the model needs {own}"


def _is_position(name: str) -> bool:
    return any("pos" in part for part in name.split(".")[-2:])


def _input_size(
    given: tuple[int, ...], own: tuple[int, ...], tensors: Mapping[str, Tensor]
) -> str | None:
    """The size of square images of a file, from its absolute positions (..., tokens, channels)."""
    patches = [_shape(t) for name, t in tensors.items() if t.dim() == 4 and "patch" in name]
    if len(patches) != 1 or len(given) < 2:
        return None
    for prefix_tokens in range(_MOST_PREFIX_TOKENS):
        # The file and the model both have square grids behind as many class tokens.
        grids = [isqrt(max(0, shape[-2] - prefix_tokens)) for shape in (given, own)]
        if all(
            grid and grid**2 + prefix_tokens == shape[-2]
            for grid, shape in zip(grids, (given, own), strict=True)
        ):
            _, _, height, width = patches[0]
            return format_input_size(grids[0] * height, grids[0] * width)
    return None


def _check_complete(
    missing: Iterable[str], extra: Iterable[str], prefix: str, wanted: Wanted, where: str
) -> None:
    """Refuse names that the file lacks, or has beyond those of the network."""
    missing = sorted(name for name in missing if not name.endswith(_DERIVED))
    extra = sorted(name for name in extra if not name.endswith(_DERIVED))
    if missing and all(name.startswith(wanted.classifiers) for name in missing):
        raise UserError(
            f"{where} has no classifier ({prefix}{missing[0]} is missing); say --num-classes 0 for "
            f"a model without one"
        )
    if not any(name.startswith(wanted.classifiers) for name in wanted.tensors):
        extra = [name for name in extra if not name.startswith(wanted.classifiers)]
    if missing or extra:
        if missing:
            what = f"lacks {prefix}{missing[0]}"
        else:
            what = f"has {prefix}{extra[0]}, which the model lacks"
        raise UserError(
            f"{where} {what} ({len(missing)} names missing, {len(extra)} unknown); weights of the "
            f"same architecture with {wanted.library}'s names are accepted"
        )


def _is_stale(name: str, tensor: Tensor, wanted: Wanted) -> bool:
    """Whether it is derived from the architecture, and of another input size."""
    return name.endswith(_DERIVED) and _shape(tensor) != _shape(wanted.tensors[name])


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
