"""Which classes to draw, and what to call them in a text."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from vitquant.errors import UserError
from vitquant.models.model import Model


@dataclass(frozen=True)
class Subject:
    """A class of the model: the number of its output, and what a text calls it."""

    index: int
    phrase: str


def subjects(model: Model, file: Path | None = None) -> list[Subject]:
    """The classes to draw, in the order of the model's outputs.

    file: one class a line. For a model that knows what its classes are called, some of them, by
        any name that a folder of images may have; for another, all of them, in the order of its
        outputs.

    Raises:
        UserError: the model classifies nothing, its classes have no names and there is no file, or
            the file cannot be read, names a class twice, or names what the model does not have.
    """
    if not model.num_classes:
        raise UserError(
            f"MODEL: {model.identity.name} has no classifier, and a picture of nothing in "
            f"particular is no use; --calib with a folder of images is accepted"
        )
    if file is None:
        if model.classes is None:
            raise UserError(
                f"--classes: nobody knows what the {model.num_classes} classes of "
                f"{model.identity.name} are called; a file with a name a line, in the order of the "
                f"model's outputs, is accepted"
            )
        return [Subject(i, _phrase(name)) for i, name in enumerate(model.classes.names)]
    lines = _lines(file)
    if model.classes is None:
        if len(lines) != model.num_classes:
            raise UserError(
                f"--classes: {file} has {len(lines)} lines, but {model.identity.name} has "
                f"{model.num_classes} classes; one line for each, in the order of its outputs, is "
                f"accepted"
            )
        return [Subject(i, _phrase(line)) for i, line in enumerate(lines)]
    return _chosen(lines, file, model)


def _chosen(lines: list[str], file: Path, model: Model) -> list[Subject]:
    assert model.classes is not None
    found: dict[int, str] = {}
    for line in lines:
        index = model.classes.match(line)
        if index is None:
            several = [model.classes.ids[i] for i in model.classes.candidates(line)]
            near = ", ".join(several or model.classes.examples(line))
            what = "names several classes" if several else "is not a class"
            raise UserError(f"--classes: {file}: {line!r} {what} of the model; accepted: {near}, …")
        if index in found:
            raise UserError(
                f"--classes: {file}: {found[index]!r} and {line!r} are the same class; each "
                f"once is accepted"
            )
        found[index] = line
    return [Subject(i, _phrase(model.classes.names[i])) for i in sorted(found)]


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UserError(
            f"--classes: {file} cannot be read ({reason}); a text file with a class a line is "
            f"accepted"
        ) from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise UserError(f"--classes: {file} is empty; a class a line is accepted")
    twice = [line for line, count in Counter(lines).items() if count > 1]
    if twice:
        raise UserError(
            f"--classes: {file} has {twice[0]!r} more than once; each class once is accepted"
        )
    return lines


def _phrase(name: str) -> str:
    """The first of several synonyms: they stand in the order of how common they are."""
    return name.split(", ")[0].replace("_", " ")
