"""The pages of the documentation, and what stands in them."""

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"


def pages() -> list[Path]:
    """README and every page of docs/."""
    return [README, *sorted(DOCS.rglob("*.md"))]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@cache
def tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))


def inline(page: Path) -> Iterator[Token]:
    """Tokens of running text: links, words, code spans."""
    for token in tokens(page):
        yield from token.children or []


def links(page: Path) -> Iterator[str]:
    """Targets of links and pictures."""
    for token in inline(page):
        target = token.attrGet("href") or token.attrGet("src")
        if target:
            yield str(target)


@cache
def anchors(page: Path) -> set[str]:
    """What can follow # in a link: headings as GitHub writes them, and each <a name>."""
    found = set(re.findall(r'<a name="([^"]+)"></a>', page.read_text(encoding="utf-8")))
    seen: dict[str, int] = {}
    parsed = tokens(page)
    for opening, text in pairwise(parsed):
        if opening.type != "heading_open":
            continue
        words = "".join(t.content for t in text.children or [] if t.type in ("text", "code_inline"))
        slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if slug in seen else slug)
        seen[slug] = seen.get(slug, 0) + 1
    return found
