"""A whole page: head, style, table of contents, sections."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from vitquant.reports.page.markup import Markup, join, tag
from vitquant.reports.page.style import css

# The page asks a browser to run and to load nothing, whatever may have come into it.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


class Section(NamedTuple):
    """A part of a page. title: plain text. body: HTML."""

    title: str
    body: Markup


def page(title: str, sections: Sequence[Section], *, lead: str = "", footer: str = "") -> str:
    """A page of HTML that needs no other file and runs no script.

    Args:
        title: plain text; of the page and its first heading.
        sections: listed in a table of contents.
        lead: what stands below the heading, plain text or :class:`Markup`.
        footer: what stands at the end.
    """
    names = _names([section.title for section in sections])
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Markup(css())),
    )
    contents = [
        tag("li", tag("a", section.title, href=f"#{name}"))
        for name, section in zip(names, sections, strict=True)
    ]
    body = tag(
        "body",
        tag(
            "header",
            tag("h1", title),
            tag("div", lead, class_="lead") if lead else None,
            tag("nav", tag("ul", *contents), aria_label="Sections") if len(names) > 1 else None,
        ),
        tag(
            "main",
            *(
                tag("section", tag("h2", section.title, id=name), section.body, "\n")
                for name, section in zip(names, sections, strict=True)
            ),
        ),
        tag("footer", footer) if footer else None,
    )
    return "<!DOCTYPE html>\n" + tag("html", head, "\n", body, lang="en") + "\n"


def scroll(content: Markup, label: str, *, tall: bool = False) -> Markup:
    """A box in which what is too wide scrolls, also by keyboard; tall: what is too high too."""
    name = "scroll tall" if tall else "scroll"
    return tag("div", content, class_=name, role="region", aria_label=label, tabindex=0)


def paragraph(*children: str) -> Markup:
    """A paragraph of text and inline HTML."""
    return tag("p", *children)


def folded(summary: str, *children: Markup) -> Markup:
    """What is shown once the reader asks for it."""
    return tag("details", tag("summary", summary), join(*children))


def _names(titles: Sequence[str]) -> list[str]:
    """An id for each title, no two alike."""
    names: list[str] = []
    for title in titles:
        name = re.sub("[^a-z0-9]+", "-", title.lower()).strip("-") or "section"
        while name in names:
            name += "-"
        names.append(name)
    return names
