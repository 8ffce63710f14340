"""Colors by the logarithm of a value."""

import pytest

from vitquant.reports.page.charts.heat_map import heat_map
from vitquant.reports.page.page import Section, page

_NAN = float("nan")


def classes(found):
    return [cell.attributes["class"] for cell in found.all("td")]


def test_equal_factors_are_equal_steps(fragment):
    found = fragment(heat_map(["r"], list("abcd"), [[1, 10, 100, 1e4]], unit="KL"))
    assert classes(found) == ["s0", "s2", "s4", "s7"]
    assert [cell.text for cell in found.all("td")] == ["1", "10", "100", "10,000"]


def test_what_has_no_logarithm(fragment):
    found = fragment(heat_map(["r"], list("abcd"), [[None, 0, _NAN, 3.0]], unit="KL"))
    assert classes(found) == ["none", "s0", "wrong", "s0"]
    assert [cell.text for cell in found.all("td")] == ["–", "0", "not finite", "3"]


def test_a_value_far_below_the_others_leaves_them_their_colors(fragment):
    values = [[1e-30, 1.0, 1000.0]]
    assert classes(fragment(heat_map(["r"], list("abc"), values, unit="KL"))) == ["s0", "s4", "s7"]


def test_nothing_measured(fragment):
    assert classes(fragment(heat_map(["r"], ["a"], [[None]], unit="KL"))) == ["none"]


def test_groups_and_the_chosen_cells(fragment):
    found = fragment(
        heat_map(
            ["x", "y", "z"], ["a", "b"], [[1, 2], [3, 4], [5, 6]], unit="KL",
            groups=["first", "first", "second"], chosen=[1, None, 0], chosen_means="the proposal",
        )
    )  # fmt: skip
    assert [th.text for th in found.all("th", class_="group")] == ["first", "second"]
    assert [cell.text for cell in found.all("td", class_="chosen")] == ["2", "5"]
    assert "the proposal" in found.all("figure")[0].text


def test_lengths_have_to_fit():
    with pytest.raises(ValueError, match="shorter"):
        heat_map(["x", "y"], ["a"], [[1]], unit="KL")
    with pytest.raises(ValueError, match="shorter"):
        heat_map(["x"], ["a", "b"], [[1]], unit="KL")


def test_a_wide_one_scrolls_in_its_own_box(overflow):
    rows = [f"blocks.{i}.attn.products.1" for i in range(40)]
    columns = [f"w{i}a8" for i in range(12)]
    made = heat_map(rows, columns, [[i * 1e-3] * 12 for i in range(40)], unit="KL")
    assert overflow(page("wide", [Section("wide", made)]), 390) == 0
