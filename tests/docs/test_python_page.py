"""The reference of the Python API leaves nothing out, and its example runs."""

import subprocess
import sys

import pytest
from generators import docstrings, python_api
from generators import python_source as source
from pages import DOCS

import vitquant


def text() -> str:
    return (DOCS / "reference" / "python.md").read_text(encoding="utf-8")


def test_every_public_name_has_a_section():
    headings = {line.lstrip("# ") for line in text().splitlines() if line.startswith("##")}
    assert set(vitquant.__all__) - {"__version__"} <= headings


def test_every_argument_has_a_text():
    names = {n: m for n, m in source.public_names().items() if n in python_api.CLASSES}
    assert names
    for name, module in names.items():
        found = source.function(module, name)
        described = {n for names in found.about.sections["Args"] for n in names.split(", ")}
        assert described == set(found.types), name
        assert found.about.text, name
        assert "UserError" in found.about.sections["Raises"], name


def test_every_public_attribute_and_method_has_a_text():
    for paths in python_api.CLASSES.values():
        for path in paths:
            module, _, name = path.rpartition(".")
            found = source.klass(f"vitquant.{module}", name)
            described = {n for names in found.attributes for n in names.split(", ")}
            assert described == {n for n in found.types if not n.startswith("_")}, name
            assert all(found.attributes.values()), name
            assert all(method.about.text for method in found.methods), name


def test_a_docstring_becomes_markdown():
    found = docstrings.parse(
        """Do it,
        twice.

        See docs/how-to/your-images.md.

        Args:
            first, second: of ``this`` and
                :func:`that`.
            third: one: two.

        Returns:
            What ``vitquant eval`` prints.
        """
    )
    assert found.sections == {
        "Args": {"first, second": "of ``this`` and :func:`that`.", "third": "one: two."},
        "Returns": {"": "What ``vitquant eval`` prints."},
    }
    anchors = {"that": "#that", "vitquant eval": "cli.md#eval"}
    texts = [found.text, *found.sections["Args"].values(), found.sections["Returns"][""]]
    assert [docstrings.markdown(t, "reference/python.md", anchors) for t in texts] == [
        "Do it, twice.\n\nSee [your images](../how-to/your-images.md).",
        "of `this` and [`that`](#that).",
        "one: two.",
        "What [`vitquant eval`](cli.md#eval) prints.",
    ]


@pytest.mark.slow
def test_the_example_runs(tmp_path):
    code = text().partition("<!-- example -->\n```python\n")[2].partition("```")[0]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "agreement with float" in done.stdout
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".onnx", ".safetensors"]
