"""Commands and Python blocks of the quickstart and of the how-to pages work as they are written.

They speak of DeiT and ImageNet; here the bundled models and digits take their places, and training
ends after a few steps.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import DOCS, name, tokens
from PIL import Image
from sklearn.datasets import load_digits

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NAMES = {
    r"\b(deit_tiny|deit_small|vit_small)\b": "vit_digits",
    r"\bswin_tiny\b": "swin_digits",
}
PAGES = [DOCS / "quickstart.md", *sorted((DOCS / "how-to").glob("*.md"))]
SHORTENED = """#!/usr/bin/env bash
case "$1 $*" in
  "quantize "*" --steps "* | "quantize "*"--method rtn"* | "quantize "*"--method repq"*) ;;
  "quantize "*"--method dfq"* | "quantize "*--help*) ;;
  "quantize "*) set -- "$@" --steps 2 ;;
esac
exec "{python}" -m vitquant "$@"
"""


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of each block to run: not those with the reason in front."""
    found, skipped = [], False
    for token in tokens(page):
        if token.type == "fence" and token.info in ("sh", "python"):
            if not skipped:
                found.append((token.info, token.content))
            skipped = False
        elif token.type == "html_block":
            skipped = token.content.startswith("<!-- not run: ")
    return found


def write_images(folder: Path, first: int, per_class: int, flat: bool = False) -> None:
    digits = load_digits()
    for label, called in enumerate(CLASSES):
        own = digits.images[digits.target == label][first : first + per_class]
        target = folder if flat else folder / called
        target.mkdir(parents=True, exist_ok=True)
        for i, pixels in enumerate(own):
            image = Image.fromarray((pixels * 255 / 16).astype("uint8"))
            image.resize((32, 32), Image.Resampling.BICUBIC).save(target / f"{called}-{i}.png")


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=name)
def test_blocks_run(page, tmp_path):
    write_images(tmp_path / "imagenet" / "train", 0, 8)
    write_images(tmp_path / "imagenet" / "val", 100, 8)
    write_images(tmp_path / "my_images", 0, 4, flat=True)
    (tmp_path / "bin").mkdir()
    shim = tmp_path / "bin" / "vitquant"
    shim.write_text(SHORTENED.format(python=sys.executable))
    shim.chmod(0o755)
    path = os.pathsep.join([str(shim.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = (
        {"VITQUANT_CACHE": str(tmp_path / "cache")}
        | os.environ
        | {"PATH": path, "COLUMNS": "200", "PYTHONPATH": str(DOCS.parent)}
    )
    found = blocks(page)
    assert found, "the page shows no command"
    for language, text in found:
        for pattern, replacement in NAMES.items():
            text = re.sub(pattern, replacement, text)
        command = (
            ["bash", "-e", "-o", "pipefail", "-c"] if language == "sh" else [sys.executable, "-c"]
        )
        ended = subprocess.run(
            [*command, text], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert ended.returncode == 0, f"{text}\n{ended.stdout}\n{ended.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_is_not_run_says_why(page):
    for reason in re.findall(r"<!-- not run:(.*)-->", page.read_text(encoding="utf-8")):
        assert len(reason.split()) >= 2
