"""Docstrings in Google's style as Markdown."""

import inspect
import os
import re
from dataclasses import dataclass

SECTIONS = ("Args", "Attributes", "Returns", "Raises")
_SECTION = re.compile(rf"^({'|'.join(SECTIONS)}):\n", re.MULTILINE)
_ENTRY = re.compile(r"^    (\S[^:\n]*): ", re.MULTILINE)


@dataclass(frozen=True)
class Docstring:
    """text: what stands before the sections. sections: of each, texts by the names in front of
    them; a text without a name has the empty one."""

    text: str
    sections: dict[str, dict[str, str]]


def parse(docstring: str) -> Docstring:
    """The parts of a docstring, each paragraph on one line."""
    text, *found = _SECTION.split(inspect.cleandoc(docstring))
    parts = dict(zip(found[::2], found[1::2], strict=True))
    return Docstring(_joined(text), {title: _entries(body) for title, body in parts.items()})


def markdown(text: str, page: str, anchors: dict[str, str]) -> str:
    """Plain text of a docstring with links.

    Args:
        text: in which a name has a role or two backticks, and a page is written as ``docs/….md``.
        page: that the text is for, from docs/ on.
        anchors: links of names that have a role, and of codes such as ``vitquant eval``.
    """

    def linked(match: re.Match[str]) -> str:
        code = match[1].rpartition(".")[2] if match[0].startswith(":") else match[1]
        return f"[`{code}`]({anchors[code]})" if code in anchors else f"`{code}`"

    def page_link(match: re.Match[str]) -> str:
        target, name = match[1], match[1].rpartition("/")[2].partition(".")[0]
        return f"[{name.replace('-', ' ')}]({os.path.relpath(target, os.path.dirname(page))})"

    text = re.sub(r":\w+:`([^`]+)`", linked, text)
    text = re.sub(r"``([^`]+)``", linked, text)
    return re.sub(r"docs/([\w/-]+\.md(?:#[\w-]+)?)", page_link, text)


def _entries(body: str) -> dict[str, str]:
    first, *found = _ENTRY.split(body)
    entries = {name: _joined(text) for name, text in zip(found[::2], found[1::2], strict=True)}
    return entries or {"": _joined(first)}


def _joined(text: str) -> str:
    paragraphs = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
