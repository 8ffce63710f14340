"""Tables, and lists of facts."""

from collections.abc import Sequence

from vitquant.reports.page.markup import Child, Markup, breakable, tag
from vitquant.reports.page.page import scroll

_LOOKS = {"l": None, "r": "right", "b": "bar"}


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Child]],
    *,
    align: str,
    caption: str = "",
    tall: bool = False,
) -> Markup:
    """A table that scrolls in a box of its own. The first cell of a row is its name.

    Args:
        align: a letter for each column: left, right, or a bar, which takes what width there is.
        caption: above the table.
        tall: whether it scrolls too where it is too high.
    """
    looks = [_LOOKS[letter] for letter in align]
    head = [
        tag("th", name, scope="col", class_=look) for name, look in zip(columns, looks, strict=True)
    ]
    body = [
        tag(
            "tr",
            *(
                tag("td", cell, class_=look)
                if i
                else tag("th", breakable(str(cell)), scope="row", class_=look)
                for i, (cell, look) in enumerate(zip(row, looks, strict=True))
            ),
        )
        for row in rows
    ]
    made = tag(
        "table", tag("thead", tag("tr", *head)), tag("tbody", *body),
        class_="wide" if "b" in align else None,
    )  # fmt: skip
    box = scroll(made, caption or ", ".join(filter(None, columns)), tall=tall)
    return tag("figure", tag("figcaption", caption) if caption else None, box)


def facts(pairs: Sequence[tuple[str, Child]]) -> Markup:
    """Names with what is known under them. What is None is left out."""
    return tag(
        "dl",
        *(
            part
            for name, value in pairs
            if value is not None
            for part in (tag("dt", name), tag("dd", value))
        ),
    )
