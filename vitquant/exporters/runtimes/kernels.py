"""Which products of a file ONNX Runtime computes in integers."""

import tempfile
from pathlib import Path

import onnx

from vitquant.exporters.runtimes.ort_runtime import OnnxModule

# Operators of ONNX and of ONNX Runtime that multiply integers.
_INTEGER = frozenset(
    {
        "QGemm",
        "QLinearMatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "DynamicQuantizeMatMul",
        "QLinearConv",
        "ConvInteger",
    }
)


def integer_kernels(path: Path) -> list[str]:
    """Names of the nodes with an integer kernel, in the graph that is run: not in the file, whose
    quantizations become integer kernels only when the runtime recognises them.

    Raises:
        UserError: ONNX Runtime cannot load the file.
    """
    with tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx"
        OnnxModule(path, optimized)
        graph = onnx.load(optimized, load_external_data=False).graph
    return [node.name for node in graph.node if node.op_type in _INTEGER]
