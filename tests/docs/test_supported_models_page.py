"""The page on supported models says what is found in them."""

import pytest
from generators import model_families, supported_models
from generators.rows import Row, read
from pages import DOCS

PAGE = DOCS / "reference" / "supported-models.md"


def rows() -> dict[str, Row]:
    return {row["example"]: row for row in read(PAGE.with_suffix(".csv"))}


def test_every_family_has_a_row():
    assert list(rows()) == list(model_families.FAMILIES)
    assert set(supported_models.REMARKS) <= set(rows())
    assert len({row["timm"] for row in rows().values()}) == 1


def test_every_reason_is_explained():
    known = ", ".join(supported_models.REASONS).split(", ")
    for row in rows().values():
        assert bool(row["reason"]) == (row["verdict"] != "accepted")
        if row["verdict"] == "refused":
            for reason in row["reason"].split("; "):
                assert reason.partition(" (")[0] in known


@pytest.mark.slow
@pytest.mark.parametrize(
    "example", ["vit_tiny_patch16_224", "swinv2_tiny_window8_256", "mvitv2_tiny"]
)
def test_a_row_is_what_is_found(example):
    found = model_families.found_in(example)
    assert found | {"timm": ""} == rows()[example] | {"timm": ""}


@pytest.mark.slow
def test_the_program_prints_what_the_page_shows(capsys):
    text = PAGE.read_text(encoding="utf-8")
    code = text.partition("<!-- example -->\n```python\n")[2].partition("```")[0]
    exec(code, {})
    assert capsys.readouterr().out == text.partition("```text\n")[2].partition("```")[0]
