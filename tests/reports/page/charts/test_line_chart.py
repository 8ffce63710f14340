"""Lines, their marks, and the numbers below them."""

from vitquant.reports.page.charts.line_chart import Series, line_chart

_NAN = float("nan")


def chart(fragment, *series, **more):
    return fragment(line_chart(series, title="<T>", x_title="step", y_title="loss", **more))


def test_lines_end_where_the_values_do(fragment):
    found = chart(fragment, Series("a", [0, 10], [0, 1]), Series("b", [0, 5], [1, 0.5]))
    lines = [line.attributes["points"] for line in found.all("polyline")]
    assert lines == ["0.00,100.00 100.00,0.00", "0.00,0.00 50.00,50.00"]
    assert [div.text for div in found.all("div", class_="legend")] == ["ab"]


def test_the_numbers_of_both_lines(fragment):
    found = chart(fragment, Series("a", [0, 10], [0, 1]), Series("b", [0, 5], [1, 0.5]))
    rows = [row.text for row in found.all("tr")]
    assert rows == ["stepab", "001", "50.5", "101"]


def test_a_screen_reader_hears_the_range(fragment):
    found = chart(fragment, Series("a", [0, 1, 2], [0.5, 4, 2]), x_names=["x", "y", "z"])
    assert found.all("title")[0].text == "<T>"
    assert found.all("desc")[0].text == "a: from 0.5 at x to 4 at y. Linear axis."


def test_what_is_not_finite_breaks_the_line_and_has_a_mark(fragment):
    found = chart(fragment, Series("a", [0, 1, 2, 3, 4], [1, 2, _NAN, 3, float("inf")]))
    lines = [line.attributes["points"] for line in found.all("polyline")]
    assert lines == ["0.00,66.67 25.00,33.33", "75.00,0.00"]
    assert [text.text for text in found.all("text", class_="wrong")] == ["×a: not finite"] * 2
    assert len(found.all("circle")) == 3
    assert "not finite" in found.all("table")[0].text


def test_nothing_finite(fragment):
    found = chart(fragment, Series("a", [0, 1], [_NAN, _NAN]))
    assert found.all("desc")[0].text.startswith("a: no finite value.")


def test_long_curves_have_few_rows_and_the_last(fragment):
    found = chart(fragment, Series("a", range(1000), range(1, 1001)))
    rows = found.all("tbody")[0].text
    assert len(found.all("tr")) <= 62
    assert rows.endswith("9991,000")
    assert not found.all("circle")


def test_blocks_are_named_by_their_numbers(fragment):
    names = [f"layers.{i}.blocks.{j}" for i in range(2) for j in range(2)]
    found = chart(fragment, Series("a", range(4), [1, 2, 3, 4]), x_names=names)
    assert {"0.0", "0.1", "1.0", "1.1"} <= {text.text for text in found.all("text")}
    assert found.all("tbody")[0].text.startswith("layers.0.blocks.0")


def test_of_many_blocks_some_are_named(fragment):
    names = [f"blocks.{i}" for i in range(40)]
    found = chart(fragment, Series("a", range(40), [1] * 40), x_names=names)
    shown = [text.text for text in found.all("text") if text.attributes.get("dy") == "1.5em"]
    assert len(shown) <= 14
