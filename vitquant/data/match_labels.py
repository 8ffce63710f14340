"""From the names that a data set gives its classes to the outputs of a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from vitquant.data.image_source import SourceRequest


def match_folders(folders: Sequence[str], request: SourceRequest) -> list[int | None]:
    """The output that each folder name stands for; None for a folder to leave out.

    folders: in natural order; "" stands for images that lie in no class folder.

    Raises UserError if a folder cannot be matched, unless the request ignores unknown ones.
    """
    if not any(folders):
        raise request.error(
            "the images lie in no class folders, so their classes are unknown; evaluation needs "
            f"one folder for each class, {_naming(request)}"
        )
    if request.label_space.classes is not None:
        found = [request.label_space.classes.match(folder) for folder in folders]
        return _unless_unknown(folders, found, request)
    # Ranks are right only if nothing is missing: with a class left out, all later ones would shift.
    count = request.label_space.num_classes
    if len(folders) != count or "" in folders:
        raise request.error(
            f"found {len([f for f in folders if f])} class folders, but the model has "
            f"{count} classes without names; there must be exactly one folder for each class, "
            "in the order of the outputs, and no images beside them"
        )
    _warn_of_order(folders, request)
    return list(range(len(folders)))


def match_declared(names: Sequence[str], request: SourceRequest) -> list[int | None]:
    """The output that each class of a published data set stands for; None for one to leave out.

    Unlike folders, a data set declares all its classes in order. With as many as the model has, and
    names that do not speak against it, the order is taken to be the model's even where the names
    differ in spelling ("0 - zero", "crane2").

    Raises UserError if a name cannot be matched, unless the request ignores unknown ones.
    """
    count = request.label_space.num_classes
    same_count = len(names) == count
    if request.label_space.classes is None:
        if not same_count:
            raise request.error(
                f"has {len(names)} classes, but the model has {count} without names; "
                "a data set with the model's classes is needed"
            )
        return list(range(len(names)))
    found = [request.label_space.classes.match(name) for name in names]
    if None in found and same_count:
        agreeing = sum(index == i for i, index in enumerate(found))
        named = sum(index is not None for index in found)
        if 2 * agreeing >= named:
            return list(range(len(names)))
    return _unless_unknown(names, found, request)


def drop_unknown(
    targets: Sequence[int], output_of: Sequence[int | None], names: Sequence[str]
) -> tuple[list[int], list[int], dict[str, int]]:
    """Drop the samples whose class the model does not have.

    targets: (N,) class numbers of a data set, -1 where unknown. output_of, names: for each class
    number the model's output, or None, and what the class is called.

    Returns the indices of the samples kept, their outputs, and the number dropped by class name.
    """
    indices: list[int] = []
    labels: list[int] = []
    skipped: Counter[str] = Counter()
    for index, target in enumerate(targets):
        output = output_of[target] if target >= 0 else None
        if output is not None:
            indices.append(index)
            labels.append(output)
        else:
            skipped[(names[target] or ".") if target >= 0 else "unlabeled"] += 1
    return indices, labels, dict(skipped)


def _warn_of_order(folders: Sequence[str], request: SourceRequest) -> None:
    """Warn where torchvision's ``ImageFolder`` numbers the folders otherwise."""
    for ours, theirs in zip(folders, sorted(folders), strict=True):
        if ours != theirs:
            request.reading.warn(
                f"{request.flag} {request.source}: the model's classes have no names, and the "
                f"folders are taken for its outputs in natural order, {ours!r} before {theirs!r}; "
                f"torchvision's ImageFolder has {theirs!r} first; --classes FILE of quantize and "
                f"eval names the outputs"
            )
            return


def _unless_unknown(
    names: Sequence[str], found: list[int | None], request: SourceRequest
) -> list[int | None]:
    unknown = [name for name, index in zip(names, found, strict=True) if index is None]
    if len(unknown) == len(names) or (unknown and not request.ignore_unknown):
        raise request.error(_complaint(unknown, request))
    return found


def _complaint(unknown: Sequence[str], request: SourceRequest) -> str:
    classes = request.label_space.classes
    assert classes is not None
    name = unknown[0]
    more = f" (and {len(unknown) - 1} more like it)" if len(unknown) > 1 else ""
    if not name:
        return f"some images lie in no class folder{more}; each needs one, {_naming(request)}"
    several = classes.candidates(name)
    if several:
        ids = ", ".join(dict.fromkeys(classes.ids[i] for i in several))
        return f"{name!r} names {len(several)} classes{more}; name the folder after one: {ids}"
    accepted = ", ".join(repr(example) for example in classes.examples(name))
    return f"{name!r} is no class of {classes.owner}{more}; accepted are names such as {accepted}"


def _naming(request: SourceRequest) -> str:
    if request.label_space.classes is None:
        return f"{request.label_space.num_classes} in all, in the order of the model's outputs"
    names = ", ".join(repr(name) for name in request.label_space.classes.examples(""))
    return f"named such as {names}" if names else "named after it"
