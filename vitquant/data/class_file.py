"""What a model's outputs are called, read from a file of the user."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from vitquant.core.errors import UserError
from vitquant.data.class_names import ClassNames


def read_lines(file: Path) -> list[str]:
    """The lines of a file of classes that hold anything.

    Raises:
        UserError: the file cannot be read, is empty, or has a line twice.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UserError(
            f"--classes: {file} cannot be read ({reason}); a text file with a class a line is "
            f"accepted"
        ) from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise UserError(f"--classes: {file} is empty; a class a line is accepted")
    if same := twice(lines):
        raise UserError(
            f"--classes: {file} has {same[0]!r} more than once; each class once is accepted"
        )
    return lines


def twice(names: Iterable[str]) -> list[str]:
    """The names that occur more than once."""
    return [name for name, count in Counter(names).items() if count > 1]


def check_count(lines: list[str], file: Path, model: str, num_classes: int) -> None:
    """Raise a UserError unless there is a line for each output of the model."""
    if len(lines) != num_classes:
        raise UserError(
            f"--classes: {file} has {len(lines)} lines, but {model} has {num_classes} classes; "
            f"one line for each, in the order of its outputs, is accepted"
        )


def read_class_names(file: Path, model: str, num_classes: int) -> ClassNames:
    """The names of all outputs, a line for each, in their order.

    model: what messages call it.

    Raises:
        UserError: as :func:`read_lines` and :func:`check_count`, or the model has no classes.
    """
    if not num_classes:
        raise UserError(f"--classes: {model} has no classifier; leave it out")
    lines = read_lines(file)
    check_count(lines, file, model, num_classes)
    return ClassNames(tuple(lines), tuple(lines))
