"""The program that reads a checkpoint without vitquant reads what vitquant reads."""

import subprocess
import sys
from pathlib import Path

import pytest

import vitquant
from vitquant.quantization.layers.base import IntLayer

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "checkpoint.md"
MARK = "<!-- checkpoint -->\n```python\n"


@pytest.mark.slow
@pytest.mark.parametrize("bits", ["w3a3", "w1.58a8"])
def test_the_program_of_the_page_reads_every_layer(bits, tmp_path):
    brief = {"method": "rtn", "samples": 4, "init_images": 4}
    quantized = vitquant.quantize("vit_digits", bits, "digits", **brief)
    quantized.save(tmp_path / "vit.safetensors")
    code = PAGE.read_text(encoding="utf-8").partition(MARK)[2].partition("```")[0]
    command = [sys.executable, "-c", code, str(tmp_path / "vit.safetensors")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    layers = {n: m for n, m in quantized.module.named_modules() if isinstance(m, IntLayer)}
    assert sorted(done.stdout.splitlines()) == sorted(
        f"{name} {tuple(m.codes.shape)} {m.codes.min()} {m.codes.max()}"
        for name, m in layers.items()
    )
