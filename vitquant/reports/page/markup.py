"""HTML that is escaped by construction: what is not :class:`Markup` is text."""

import html
import re
from typing import TypeAlias

# What HTML cannot hold, and what changes the direction of the text around it.
_UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_WITHOUT_END = ("meta", "img", "wbr")


class Markup(str):
    """A string that is HTML already. What is added to it is escaped unless it is Markup too."""

    __slots__ = ()

    def __add__(self, other: str) -> "Markup":
        return join(self, other)


Child: TypeAlias = str | int | None
Attribute: TypeAlias = str | float | bool | None


def text(value: str | int) -> Markup:
    """Text as HTML, also in an attribute; what HTML cannot hold is shown as Python escapes it."""
    if isinstance(value, Markup):
        return value
    shown = _UNFIT.sub(lambda match: match[0].encode("unicode_escape").decode(), str(value))
    return Markup(html.escape(shown))


def join(*children: Child) -> Markup:
    """Several pieces, one behind the other. None is left out."""
    return Markup("".join(text(child) for child in children if child is not None))


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """An element of HTML or SVG.

    attributes: ``aria_label`` becomes ``aria-label``, ``class_`` ``class``. One that is None or
    False is left out; one that is True has no value.
    """
    parts = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.removesuffix("_").replace("_", "-")
        if isinstance(value, float):
            value = f"{value:.6g}"
        parts.append(key if value is True else f'{key}="{text(value)}"')
    end = "" if name in _WITHOUT_END else f"</{name}>"
    return Markup(f"<{' '.join(parts)}>{join(*children)}{end}")


def breakable(name: str) -> Markup:
    """A dotted name or a path that may go on in the next line behind a dot, slash or underscore."""
    return Markup(re.sub(r"([./_])(?=.)", r"\1<wbr>", text(name)))
