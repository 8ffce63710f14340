"""Tables and lists of facts."""

import pytest

from vitquant.reports.page.tables import facts, table


def test_a_table(fragment):
    found = fragment(table(["<a>", "b"], [["x.y", "<1>"]], align="lr", caption="<c>"))
    assert [th.attributes.get("scope") for th in found.all("th")] == ["col", "col", "row"]
    assert found.all("td")[0].attributes["class"] == "right"
    assert found.all("figure")[0].text == "<c><a>bx.y<1>"
    assert found.all("div")[0].attributes["aria-label"] == "<c>"


def test_rows_have_to_fit():
    with pytest.raises(ValueError, match="argument 2"):
        table(["a", "b"], [["x"]], align="ll")


def test_facts_leave_out_what_is_not_known(fragment):
    found = fragment(facts([("a", "<1>"), ("b", None), ("c", 0)]))
    assert found.all("dl")[0].text == "a<1>c0"
