"""The keys that the page on --json lists are those that the commands print."""

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from vitquant.benchmark.rows import Latency, Row
from vitquant.checkpoint.header import LayerRecord
from vitquant.reports.report import Report
from vitquant.reports.sections.accuracy import Accuracy, ChangedImages, Corruptions
from vitquant.reports.sections.calibration import Calibration
from vitquant.reports.sections.errors import Activations, BlockErrors, Collapse
from vitquant.reports.sections.making import Latencies, Training
from vitquant.reports.sections.model import ModelFacts, Size

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/reference/json.md").read_text(encoding="utf-8")
# By command: the files, and the functions whose dictionaries make up the object.
SOURCES = {
    "quantize": ("workflows/results/quantized_file.py", ("to_json",)),
    "eval": ("workflows/results/evaluated.py", ("to_json", "_scores", "_accuracy", "_recall")),
    "export": (
        "workflows/export.py exporters/verification.py",
        ("to_json", "_to_file", "run_export"),
    ),
    "bench": ("workflows/bench.py", ("to_json",)),
    "synthesize": ("workflows/synthesize.py", ("Synthesized", "to_json")),
    "learn-prompts": ("workflows/learn_prompts.py", ("LearnedPrompts", "to_json")),
    "analyze": ("reports/analysis.py", ("to_json",)),
    "inspect": ("reports/summary.py", ("report",)),
}


SECTIONS = {
    "model": ModelFacts,
    "size": Size,
    "training": Training,
    "calibration": Calibration,
    "accuracy": Accuracy,
    "changed": ChangedImages,
    "blocks": BlockErrors,
    "collapse": Collapse,
    "activations": Activations,
    "corruptions": Corruptions,
    "latencies": Latencies,
}


def listed(section: str, head: str = "| key | type | |") -> set[str]:
    """The keys in the tables of a section that have a head."""
    found: set[str] = set()
    for table in TEXT.partition(f"## `{section} --json`\n")[2].partition("\n## ")[0].split("\n\n"):
        if table.strip().startswith(head):
            for line in table.strip().splitlines()[2:]:
                found |= set(re.findall(r"`(\w+)`", line.split("|")[1]))
    return found


def printed(files: str, names: tuple[str, ...]) -> set[str]:
    """Keys of the outermost dictionaries in functions, and of what is put into one by name."""
    return {key for file in files.split() for key in _printed(file, names)}


def _printed(file: str, names: tuple[str, ...]) -> set[str]:
    tree = ast.parse((ROOT / "vitquant" / file).read_text(encoding="utf-8"))
    if names[0][0].isupper():
        (tree,) = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == names[0]]
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name in names:
            found |= set(_keys(node))
    return found


def _keys(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Dict):
            yield from (k.value for k in child.keys if isinstance(k, ast.Constant))
        elif isinstance(child, ast.Assign) and isinstance(child.targets[0], ast.Subscript):
            yield ast.literal_eval(child.targets[0].slice)
        elif not isinstance(child, (ast.ListComp, ast.List)):
            yield from _keys(child)


@pytest.mark.parametrize("command", SOURCES)
def test_every_key_is_listed(command):
    assert listed(command) == printed(*SOURCES[command])


def test_every_key_of_a_row_of_bench_is_listed():
    row = Row("", "", "", "", "", 1, Latency(0, 0, 0, 0, 0), None, 0, breakdown=[])
    assert listed("bench", "| key of a row |") == set(row.to_json())


def test_every_key_of_a_report_is_listed():
    own = {field.name for field in dataclasses.fields(Report)}
    assert listed("report") == own | {"output"}
    for section, kind in SECTIONS.items():
        fields = {f.name for f in dataclasses.fields(kind) if "Picture" not in str(f.type)}
        assert listed("report", f"| key of `{section}` |") == fields, section
    assert set(SECTIONS) == own - {"recipe", "missing", "notes"}


def test_every_key_of_a_layer_is_listed():
    fields = {field.name for field in dataclasses.fields(LayerRecord)}
    assert listed("inspect", "| key of a layer") == fields | {"bytes"}
