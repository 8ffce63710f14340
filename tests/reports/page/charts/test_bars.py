"""Bars in cells."""

from vitquant.reports.page.charts.bars import Bar, bars, stacked


def widths(found):
    return [rect.attributes["width"] for rect in found.all("rect")]


def test_bars_are_shares_of_the_limit(fragment):
    found = fragment(bars([Bar(1.0), Bar(5.0, "c1"), Bar(-1.0)], 4.0))
    assert widths(found) == ["25%", "100%", "0%"]
    assert not found.all("line")


def test_an_interval_has_whiskers(fragment):
    found = fragment(bars([Bar(0.5, "c0", 0.25, 0.75)], 1.0))
    ends = {(line.attributes["x1"], line.attributes["x2"]) for line in found.all("line")}
    assert ends == {("25%", "75%"), ("25%", "25%"), ("75%", "75%")}


def test_stacked(fragment):
    found = fragment(stacked([("<a>", 1), ("b", 0), ("c", 2)], 4))
    assert [rect.attributes["x"] for rect in found.all("rect")] == ["0%", "25%"]
    assert [rect.attributes["class"] for rect in found.all("rect")] == ["c0", "c2"]
    assert [title.text for title in found.all("title")] == ["<a>", "c"]


def test_no_limit(fragment):
    assert widths(fragment(bars([Bar(0.0)], 0.0))) == ["0%"]
