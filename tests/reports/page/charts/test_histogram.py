"""Bars on a grid and beyond it."""

from vitquant.reports.page.charts.histogram import Grid, histogram, histogram_legend


def test_bars_beyond_the_grid_look_different(fragment):
    edges = [-2.0, -1.0, 0.0, 1.0, 2.0]
    found = fragment(histogram(edges, [3, 50, 0, 7], Grid(-1.0, 1.0, 0.5), title="T"))
    assert [rect.attributes["class"] for rect in found.all("rect")] == ["c1", "c0", "c1"]
    assert "60 values" in found.all("desc")[0].text
    assert "5 levels from −1 to 1; about 10 are clipped" in found.all("desc")[0].text
    assert [row.text for row in found.all("tbody")] == ["−2−13−1050127"]


def test_half_a_step_beyond_the_outer_levels_is_not_clipped(fragment):
    edges = [-1.6, -1.5, -1.4, 1.4, 1.5, 1.6]
    found = fragment(histogram(edges, [1] * 5, Grid(-1.0, 1.0, 1.0), title="T"))
    assert [rect.attributes["class"] for rect in found.all("rect")] == ["c1", *["c0"] * 3, "c1"]


def test_each_level_has_a_line_unless_they_are_too_close(fragment):
    def lines(step):
        found = fragment(histogram([0.0, 1.0], [1], Grid(0.0, 1.0, step), title="T"))
        return found.all("path")[0].attributes["d"].count("M")

    assert lines(1 / 15) == 16
    assert lines(1 / 255) == 2
    assert lines(0.0) == 2


def test_the_axis_covers_bins_and_grid(fragment):
    found = fragment(histogram([0.0, 1.0], [1], Grid(-1.0, 3.0, 1.0), title="T"))
    bar = found.all("rect")[0].attributes
    assert (bar["x"], bar["width"]) == ("25%", "25%")


def test_a_constant_activation(fragment):
    assert fragment(histogram([0.0, 0.0], [9], Grid(0.0, 0.0, 0.0), title="T")).all("rect")


def test_legend(fragment):
    assert "clipped" in fragment(histogram_legend()).all("div")[0].text
