"""A whole page: alone, escaped, readable in both schemes."""

import pytest

from vitquant.reports.page.markup import tag
from vitquant.reports.page.page import Section, folded, page, paragraph, scroll
from vitquant.reports.page.style import COLORS, HEAT, HEAT_TEXT


def test_a_page_has_its_parts(parse):
    sections = [Section("One", paragraph("<x>")), Section("Two", tag("p"))]
    found = parse(page("A & B", sections, lead="<lead>", footer="<end>"))
    assert found.all("title")[0].text == found.all("h1")[0].text == "A & B"
    assert [h2.text for h2 in found.all("h2")] == ["One", "Two"]
    assert [a.attributes["href"] for a in found.all("a")] == ["#one", "#two"]
    for shown in ("<x>", "<lead>", "<end>"):
        assert shown in found.text


def test_titles_alike_have_ids_of_their_own(parse):
    found = parse(
        page("t", [Section("Ü", tag("p")), Section("Ö", tag("p")), Section("ü", tag("p"))])
    )
    assert len({h2.attributes["id"] for h2 in found.all("h2")}) == 3


def test_a_box_scrolls_by_keyboard(fragment):
    box = fragment(scroll(tag("p"), "<what>")).all("div")[0]
    assert box.attributes["tabindex"] == "0"
    assert box.attributes["aria-label"] == "<what>"
    assert fragment(folded("more", tag("p", "x"))).all("details")[0].text == "morex"


def test_the_browser_sees_what_is_too_wide(overflow):
    wide = tag("div", style="width:500px;height:9px")
    assert overflow(page("t", [Section("s", wide)]), 390) > 100
    assert overflow(page("t", [Section("s", scroll(wide, "box"))]), 390) == 0


def luminance(color: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1])
@pytest.mark.parametrize("ground", ["paper", "panel"])
@pytest.mark.parametrize("color", ["ink", "muted", "blue", "orange", "red"])
def test_text_has_the_contrast_that_wcag_asks_for(color, ground, scheme):
    assert contrast(COLORS[color][scheme], COLORS[ground][scheme]) >= 4.5


@pytest.mark.parametrize("scheme", HEAT)
def test_so_has_the_text_of_each_cell_and_the_steps_only_rise(scheme):
    pairs = list(zip(HEAT[scheme], HEAT_TEXT[scheme], strict=True))
    assert all(contrast(*pair) >= 4.5 for pair in pairs)
    steps = [luminance(color) for color, _ in pairs]
    assert steps == sorted(steps, reverse=scheme == "light")
