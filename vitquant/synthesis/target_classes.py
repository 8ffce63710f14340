"""Which classes images are made of, and what a text calls them."""

from dataclasses import dataclass
from pathlib import Path

from vitquant.core.errors import UserError
from vitquant.data.class_file import check_count, read_lines
from vitquant.data.class_names import ClassNames, first_synonym
from vitquant.models.model import Model


@dataclass(frozen=True)
class TargetClass:
    """A class of the model: the index of its output, and what a text calls it."""

    index: int
    name: str


def target_classes(
    model: Model, file: Path | None = None, *, names_needed: bool = True
) -> list[TargetClass]:
    """The classes that images are made of, in the order of the model's outputs.

    file: one class a line. For a model that knows what its classes are called, some of them, by
        any name that a folder of images may have; for another, all of them, in the order of its
        outputs.
    names_needed: without, the classes of a model that does not know their names are called by
        their index.

    Raises:
        UserError: the model classifies nothing, its classes have no names and there is no file, or
            the file cannot be read, names a class twice, or names what the model does not have.
    """
    if not model.num_classes:
        raise UserError(
            f"MODEL: {model.identity.name} has no classifier, and images are made of its classes; "
            f"a model with one is accepted"
        )
    names = model.classes
    if file is not None:
        lines = read_lines(file)
        if names is not None:
            return _some(lines, file, names)
        check_count(lines, file, model.identity.name, model.num_classes)
        return [TargetClass(i, first_synonym(line)) for i, line in enumerate(lines)]
    if names is not None:
        return [TargetClass(i, first_synonym(name)) for i, name in enumerate(names.names)]
    if names_needed:
        raise UserError(
            f"--classes: nobody knows what the {model.num_classes} classes of "
            f"{model.identity.name} are called; a file with a name a line, in the order of the "
            f"model's outputs, is accepted"
        )
    return [TargetClass(i, str(i)) for i in range(model.num_classes)]


def _some(lines: list[str], file: Path, classes: ClassNames) -> list[TargetClass]:
    found: dict[int, str] = {}
    for line in lines:
        index = classes.match(line)
        if index is None:
            several = [classes.ids[i] for i in classes.candidates(line)]
            near = ", ".join(several or classes.examples(line))
            what = "names several classes" if several else "is not a class"
            raise UserError(f"--classes: {file}: {line!r} {what} of the model; accepted: {near}, …")
        if index in found:
            raise UserError(
                f"--classes: {file}: {found[index]!r} and {line!r} are the same class; each "
                f"once is accepted"
            )
        found[index] = line
    return [TargetClass(i, first_synonym(classes.names[i])) for i in sorted(found)]
