"""Pieces of Markdown for a model card."""

from collections.abc import Iterable


def console(lines: Iterable[str]) -> str:
    """A block of commands."""
    return "```sh\n" + "\n".join(lines) + "\n```"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Cells are text; those of the head too."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell(c) for c in line) + " |" for line in lines)


def cell(text: str) -> str:
    """Text in one line that ends no cell."""
    return text.replace("|", "\\|").replace("\n", " ")
