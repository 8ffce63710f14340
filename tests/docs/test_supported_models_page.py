"""The page on supported models says what is found in them, and which steps work."""

import csv

import pytest
from generators import model_families, supported_models, transformers_families
from generators.model_families import COLUMNS, LIBRARIES
from generators.model_steps import METHODS, NONE, STEPS, YES
from pages import DOCS

PAGE = DOCS / "reference" / "supported-models.md"


@pytest.fixture
def rows_file(tmp_path, monkeypatch):
    """An empty place for rows."""
    path = tmp_path / "rows.csv"
    monkeypatch.setattr(model_families, "ROWS", path)
    return path


@pytest.fixture
def measured(monkeypatch):
    """Families that were measured, of which each gets a row without being built."""
    done = []

    def measure(library, family):
        done.append((library, family))
        example = LIBRARIES[library].example(family)
        return dict.fromkeys(COLUMNS, YES) | {
            "library": library, "family": family, "example": example,
        }  # fmt: skip

    monkeypatch.setattr(model_families, "measure", measure)
    return done


def rows():
    return {(row["library"], row["family"]): row for row in model_families.read_rows()}


def test_every_family_has_a_row():
    assert list(rows()) == model_families.keys()
    for library in LIBRARIES:
        own = [row for row in rows().values() if row["library"] == library]
        assert len({row["version"] for row in own}) == 1
    assert set(supported_models.REMARKS) <= {row["example"] for row in rows().values()}
    assert set(METHODS) == set(supported_models._METHODS)


def test_every_reason_is_explained():
    known = ", ".join(supported_models.REASONS).split(", ")
    for row in rows().values():
        for reason in filter(None, row["refused"].split("; ")):
            assert reason.partition(" (")[0] in known


def test_what_does_not_work_has_its_reason_on_the_page():
    text = PAGE.read_text(encoding="utf-8")
    for row in rows().values():
        for column in STEPS:
            if column != "kernels" and row[column] not in (YES, NONE):
                assert row[column].replace("|", "\\|") in text
    assert "/tmp" not in text


@pytest.mark.parametrize("name", transformers_families.TEXT_TOWERS)
def test_a_text_tower_is_what_its_row_names(name, tmp_path):
    model = transformers_families.build(name, tmp_path)
    assert model.identity.architecture == transformers_families.example(name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("library", "family"), [("timm", "Swin V2"), ("transformers", "DINOv2, no classifier")]
)
def test_a_row_is_what_is_found(library, family):
    found = model_families.measure(library, family)
    del found["seconds"]
    assert found | {"version": ""} == rows()[library, family] | {"version": ""}


def test_rows_are_added_and_replaced_in_order(rows_file, measured):
    first, second, *_ = model_families.keys()
    model_families.write_rows([second[1]])
    model_families.write_rows([LIBRARIES["timm"].example(first[1])])
    with rows_file.open(newline="") as file:
        assert [row["family"] for row in csv.DictReader(file)][:2] == [first[1], second[1]]
    before = len(measured)
    model_families.write_rows([])
    assert set(measured[before:]) == set(model_families.keys()) - set(measured[:before])
    model_families.write_rows([])
    assert len(measured) == len(model_families.keys())


def test_a_name_that_no_family_has(rows_file, measured):
    with pytest.raises(SystemExit, match="no family is called nonsense"):
        model_families.write_rows(["nonsense", "ViT"])
    assert not measured


def test_what_stops_a_family_is_in_its_row(monkeypatch):
    def stopped(function, library, family, file, seconds):
        file.write_text('{"layers": "3", "refused": "", "rtn": "yes"}')
        return "crashed with signal 11"

    monkeypatch.setattr(model_families, "run_apart", stopped)
    row = model_families.measure("timm", "ViT")
    assert (row["layers"], row["rtn"], row["repq"]) == ("3", YES, "crashed with signal 11")
    assert {row[name] for name in STEPS[2:]} == {NONE}
    assert set(row) == set(COLUMNS)


@pytest.mark.slow
def test_the_program_prints_what_the_page_shows(capsys):
    text = PAGE.read_text(encoding="utf-8")
    code = text.partition("<!-- example -->\n```python\n")[2].partition("```")[0]
    exec(code, {})
    assert capsys.readouterr().out == text.partition("```text\n")[2].partition("```")[0]
