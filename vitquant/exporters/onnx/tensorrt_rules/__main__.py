"""``python -m vitquant.exporters.onnx.tensorrt_rules FILE.onnx``: which rules a file breaks."""

import sys
from pathlib import Path

import onnx

from vitquant.exporters.onnx.tensorrt_rules import broken_rules


def main(arguments: list[str]) -> int:
    """Print the rules that a file breaks; returns the exit code."""
    if len(arguments) != 1 or not Path(arguments[0]).is_file():
        print("FILE: one ONNX file is accepted", file=sys.stderr)
        return 2
    broken = broken_rules(onnx.load(arguments[0]))
    print("\n".join(broken) or "keeps TensorRT's documented rules; not run in TensorRT")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
