"""``python -m vitquant.exporters.onnx.tensorrt_rules FILE.onnx``: which rules a file breaks."""

import sys
from pathlib import Path

from vitquant.core.errors import UserError
from vitquant.core.streams import escape_streams, run_program
from vitquant.exporters.onnx.tensorrt_rules import broken_rules
from vitquant.exporters.runtimes.metadata import load_onnx


def main(arguments: list[str]) -> int:
    """Print the rules that a file breaks; returns the exit code."""
    escape_streams()
    if len(arguments) != 1:
        print("FILE: one ONNX file is accepted", file=sys.stderr)
        return 2
    try:
        broken = broken_rules(load_onnx(Path(arguments[0])))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(broken) or "keeps TensorRT's documented rules; not run in TensorRT")
    return 1 if broken else 0


if __name__ == "__main__":
    run_program(main)
