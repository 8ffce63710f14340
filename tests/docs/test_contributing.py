"""What docs/CONTRIBUTING.md tells a newcomer to write works as it is written there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import vitquant

DOCUMENT = Path(__file__).parents[2] / "docs" / "CONTRIBUTING.md"
PACKAGE = Path(vitquant.__file__).parent


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A copy of the package in which every block of the document has been written."""
    root = tmp_path_factory.mktemp("tree")
    shutil.copytree(PACKAGE, root / "vitquant", ignore=shutil.ignore_patterns("__pycache__"))
    blocks = re.findall(
        r"```python\n# (\S+?)(?:, after: ([^\n]+))?\n(.*?)```", DOCUMENT.read_text(), re.S
    )
    assert len(blocks) == 10
    for name, anchor, text in blocks:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if not anchor:
            assert not (PACKAGE.parent / name).exists(), "the document describes a new file"
            file.write_text(text)
            continue
        lines = file.read_text().splitlines(keepends=True)
        (at,) = [i for i, line in enumerate(lines) if anchor in line]
        file.write_text("".join([*lines[: at + 1], text, *lines[at + 1 :]]))
    return root


def run(tree: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(tree)}
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_the_tests_in_it_pass(tree):
    ended = run(tree, "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", "tests")
    assert ended.returncode == 0, ended.stdout
    assert "3 passed" in ended.stdout


@pytest.mark.slow
def test_the_new_method_is_an_option_like_any_other(tree):
    command = ("vitquant", "quantize", "vit_digits", "--bits", "w8a8", "--method", "minmax")
    ended = run(tree, *command, "--calib", "digits", "--samples", 8)
    assert (ended.returncode, ended.stdout) == (0, "vit_digits-w8a8.safetensors\n"), ended.stderr
    refused = run(tree, *command, "--steps", 5)
    assert refused.returncode == 2
    assert "--steps: --method minmax does not use it" in refused.stderr
    assert "minmax" in run(tree, "vitquant", "quantize", "--help").stdout


@pytest.mark.slow
def test_what_it_shows_is_in_style(tree):
    new = [
        path
        for path in tree.rglob("*.py")
        if not (PACKAGE.parent / path.relative_to(tree)).exists()
    ]
    assert len(new) == 6
    ended = run(tree, "ruff", "check", "--config", DOCUMENT.parents[1] / "pyproject.toml", *new)
    assert ended.returncode == 0, ended.stdout
