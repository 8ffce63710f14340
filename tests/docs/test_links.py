"""Links lead somewhere, and every page is reached from docs/index.md."""

import pytest
from pages import DOCS, anchors, links, name, pages


@pytest.mark.parametrize("page", pages(), ids=name)
def test_links_lead_somewhere(page):
    for link in links(page):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{link}: no such heading"


def test_every_page_is_reached_from_the_index():
    reached, new = set(), {DOCS / "index.md"}
    while new:
        reached |= new
        found = {
            (page.parent / link.partition("#")[0]).resolve()
            for page in new
            for link in links(page)
            if "://" not in link
        }
        new = {path for path in found if path.suffix == ".md" and path.exists()} - reached
    assert set(DOCS.rglob("*.md")) <= reached
