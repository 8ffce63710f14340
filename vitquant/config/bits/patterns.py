"""Names of layers and matmuls by pattern: ``*`` and ``?`` stand for any letters."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from fnmatch import fnmatchcase
from glob import escape

from vitquant.core.errors import UserError

BLOCK_NUMBER = re.compile(r"\d+(?=[^.]*\.)")
"""In a name: numbers in the names of modules around it, not in its own such as ``fc1``."""


def fits(pattern: str, name: str) -> bool:
    """Whether a pattern names a module, or one around it."""
    return any(fnmatchcase(around, pattern) for around in _around(name))


def named(pattern: str, names: Iterable[str], label: str) -> list[str]:
    """Those of ``names`` that a pattern fits. label: of the setting, for the message.

    Raises:
        UserError: there is none.
    """
    names = list(names)
    found = [name for name in names if fits(pattern, name)]
    if not found:
        raise UserError(
            f"{label}: {pattern!r} names no layer and no matmul{_near(pattern, names)}; "
            f"vitquant inspect lists those of a checkpoint"
        )
    return found


def family(name: str) -> str:
    """The pattern of names that differ from this one in the numbers of blocks."""
    return BLOCK_NUMBER.sub("*", escape(name))


def _around(name: str) -> list[str]:
    """A name, and those of the modules around it."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _near(pattern: str, names: Iterable[str]) -> str:
    known = dict.fromkeys(around for name in names for around in _around(name))
    near = get_close_matches(pattern, known, 3, cutoff=0.5) or list(known)[:3]
    return f"; such as {', '.join(near)}" if near else ""
