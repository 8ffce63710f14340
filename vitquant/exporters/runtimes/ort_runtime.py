"""An exported file in ONNX Runtime, and which of its products that computes in integers."""

import os
import tempfile
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx
import torch
from torch import Tensor

from vitquant.core.errors import UserError, first_line
from vitquant.exporters.runtimes.base import ExportedModule
from vitquant.exporters.runtimes.metadata import Metadata

_ERRORS_ALONE = 3
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


def import_onnxruntime() -> ModuleType:
    """ONNX Runtime, without its telemetry unless the environment asks for it.

    Since 1.29 its official builds write a device id below the home folder when they are imported,
    and send events, unless ``ORT_DISABLE_TELEMETRY`` is set before. ``ORT_DISABLE_TELEMETRY=0``
    stays what it is.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return import_module("onnxruntime")


class OnnxRuntime:
    """ONNX Runtime."""

    name, label, format = "onnxruntime", "ONNX Runtime", "onnx"

    def installed(self) -> bool:
        """Always: vitquant depends on it."""
        return True

    def open(self, path: Path, metadata: Metadata) -> "OnnxModule":
        """Raises UserError if ONNX Runtime cannot load the file."""
        return OnnxModule(path, metadata.num_classes)


class OnnxModule(ExportedModule):
    """Runs an ONNX file of any origin on the CPU with as many threads as PyTorch has."""

    def __init__(self, path: Path, num_classes: int = 0) -> None:
        """Raises UserError if ONNX Runtime cannot load the file."""
        super().__init__()
        self.path = path
        self.num_classes = num_classes
        self.session = _session(path)

    def forward(self, images: Tensor) -> Tensor:
        (argument,) = self.session.get_inputs()
        wanted = torch.uint8 if argument.type == "tensor(uint8)" else torch.float32
        given = images.detach().to("cpu", wanted).numpy()
        (found,) = self.session.run(None, {argument.name: given})
        return torch.from_numpy(found).to(images.device)

    def integer_kernels(self) -> list[str]:
        """Names of the nodes with an integer kernel, in the graph that is run: not in the file,
        whose quantizations become integer kernels only where the runtime recognizes them."""
        with tempfile.TemporaryDirectory() as folder:
            optimized = Path(folder) / "optimized.onnx"
            _session(self.path, optimized)
            graph = onnx.load(optimized, load_external_data=False).graph
        return [node.name for node in graph.node if node.op_type in _INTEGER]


def _session(path: Path, optimized: Path | None = None) -> Any:
    """optimized: where to write the graph that is really run."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = _ERRORS_ALONE
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no class in common
        reason = first_line(error)
        raise UserError(
            f"ONNX Runtime {onnxruntime.__version__} cannot load {path} ({reason}); a whole ONNX "
            f"file is accepted, of an opset that it knows"
        ) from error
