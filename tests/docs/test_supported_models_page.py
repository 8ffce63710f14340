"""The page on supported models says what is found in them."""

import csv
import importlib
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "reference" / "supported-models.md"


@pytest.fixture
def generator(monkeypatch):
    """generator(name) → a module of docs/generators/."""
    monkeypatch.syspath_prepend(DOCS)
    return lambda name: importlib.import_module(f"generators.{name}")


def rows() -> dict[str, dict[str, str]]:
    with PAGE.with_suffix(".csv").open(newline="", encoding="utf-8") as file:
        return {row["example"]: row for row in csv.DictReader(file)}


def test_every_family_has_a_row(generator):
    assert list(rows()) == list(generator("model_families").FAMILIES)
    assert set(generator("supported_models").REMARKS) <= set(rows())
    assert len({row["timm"] for row in rows().values()}) == 1


def test_every_reason_is_explained(generator):
    known = ", ".join(generator("supported_models").REASONS).split(", ")
    for row in rows().values():
        assert bool(row["reason"]) == (row["verdict"] != "accepted")
        if row["verdict"] == "refused":
            for reason in row["reason"].split("; "):
                assert reason.partition(" (")[0] in known


@pytest.mark.slow
@pytest.mark.parametrize(
    "example", ["vit_tiny_patch16_224", "swinv2_tiny_window8_256", "mvitv2_tiny"]
)
def test_a_row_is_what_is_found(example, generator):
    found = generator("model_families").found_in(example)
    assert found | {"timm": ""} == rows()[example] | {"timm": ""}


@pytest.mark.slow
def test_the_program_prints_what_the_page_shows(capsys):
    text = PAGE.read_text(encoding="utf-8")
    code = text.partition("<!-- example -->\n```python\n")[2].partition("```")[0]
    exec(code, {})
    assert capsys.readouterr().out == text.partition("```text\n")[2].partition("```")[0]
