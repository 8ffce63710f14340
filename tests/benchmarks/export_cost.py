"""Bytes of exported files, and the memory and time that exporting takes.

    python tests/benchmarks/export_cost.py --models deit_small_patch16_224 --bits w4a4 w1.58a8

Weights are random, as neither depends on them. Each export is a process of its own, whose peak
memory is reported; it includes that of verifying the file.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file


def main() -> None:
    options = _parse()
    print(f"{'':30} {'bits':>8} {'MB':>7} {'peak GB':>8} {'seconds':>8}")
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            weights = _random_weights(name, Path(folder))
            for bits in options.bits:
                checkpoint = Path(folder) / f"{bits}.safetensors"
                _run("quantize", name, "--weights", weights, "--bits", bits, "--method", "rtn",
                     "--calib", "noise", "--samples", 2, "--init-images", 2,
                     "--out", checkpoint)  # fmt: skip
                out = checkpoint.with_suffix(".onnx")
                seconds, peak = _run(
                    "export", checkpoint, "--out", out, "--images", 2, "--min-agreement", 0
                )  # of two images of noise, agreement means nothing
                size = out.stat().st_size / 1e6
                print(f"{name:30} {bits:>8} {size:7.2f} {peak / 1e9:8.2f} {seconds:8.0f}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["deit_small_patch16_224"])
    parser.add_argument("--bits", nargs="+", default=["w4a4", "w1.58a8"])
    return parser.parse_args()


def _random_weights(name: str, folder: Path) -> Path:
    torch.manual_seed(0)
    path = folder / "float.safetensors"
    save_file(timm.create_model(name).state_dict(), path)
    return path


def _run(*arguments: object) -> tuple[float, int]:
    """Seconds and peak memory in bytes of a command, which has to succeed."""
    command = [sys.executable, "-m", "vitquant", *map(str, arguments)]
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(said.decode())
    return time.monotonic() - start, usage.ru_maxrss * 1024


if __name__ == "__main__":
    main()
