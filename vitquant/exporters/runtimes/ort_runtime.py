"""An exported file in ONNX Runtime, and which of its products that computes in integers."""

import json
import tempfile
from importlib import import_module
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import onnx
import torch
from torch import Tensor

from vitquant.core.errors import UserError, first_line
from vitquant.exporters.runtimes.base import ExportedModule, NodeTime
from vitquant.exporters.runtimes.metadata import Metadata

# What a file asks for in place of floats: raw images, or tokens.
_TYPES = {"tensor(uint8)": torch.uint8, "tensor(int64)": torch.int64}
_ERRORS_ALONE = 3
_WARM_UP = 3
# Behind the name of a node in the profile.
_KERNEL = "_kernel_time"
# Behind the name of a node in the profile.
_KERNEL = "_kernel_time"
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


class OnnxRuntime:
    """ONNX Runtime."""

    name, label, format = "onnxruntime", "ONNX Runtime", "onnx"

    def installed(self) -> bool:
        """Always: vitquant depends on it."""
        return True

    def open(self, path: Path, metadata: Metadata) -> "OnnxModule":
        """Raises UserError if ONNX Runtime cannot load the file."""
        return OnnxModule(path, metadata.num_classes)

    def profile(self, path: Path, images: Tensor, runs: int) -> list[NodeTime]:
        """By ONNX Runtime's own profiler, with the type of a node's first input."""
        nodes = profile_nodes(path, images, runs)
        return [NodeTime(node.kind, fmean(node.seconds)) for node in nodes]


class NodeRuns(NamedTuple):
    """A node of the optimized graph in several runs. kind: see :class:`NodeTime`."""

    name: str
    kind: str
    seconds: list[float]


def profile_nodes(path: Path, images: Tensor, runs: int, **options: Any) -> list[NodeRuns]:
    """The nodes that an ONNX file of any origin becomes, in ``runs`` runs of a batch.

    options: attributes of ``SessionOptions``. Raises UserError if ONNX Runtime cannot load the
    file.
    """
    with tempfile.TemporaryDirectory() as folder:
        prefix = str(Path(folder) / "run")
        module = OnnxModule(path, enable_profiling=True, profile_file_prefix=prefix, **options)
        for _ in range(_WARM_UP + runs):
            module(images)
        events = json.loads(Path(module.session.end_profiling()).read_text(encoding="utf-8"))
    starts = sorted(event["ts"] for event in events if event["name"] == "model_run")
    found: dict[str, NodeRuns] = {}
    for event in events:
        if event["cat"] != "Node" or event["ts"] < starts[_WARM_UP]:
            continue
        if not event["name"].endswith(_KERNEL):
            continue
        about = event["args"]
        given = [kind for described in about["input_type_shape"] for kind in described]
        kind = f"{about['op_name']} ({given[0]})" if given else about["op_name"]
        node = NodeRuns(event["name"].removesuffix(_KERNEL), kind, [])
        found.setdefault(about["node_index"], node).seconds.append(event["dur"] / 1e6)
    return list(found.values())


class OnnxModule(ExportedModule):
    """Runs an ONNX file of any origin on the CPU with as many threads as PyTorch has."""

    def __init__(self, path: Path, num_classes: int = 0, **options: Any) -> None:
        """options: attributes of ``SessionOptions``.

        Raises UserError if ONNX Runtime cannot load the file."""
        super().__init__()
        self.path = path
        self.num_classes = num_classes
        self.session = _session(path, **options)

    def forward(self, images: Tensor) -> Tensor:
        (argument,) = self.session.get_inputs()
        wanted = _TYPES.get(argument.type, torch.float32)
        given = images.detach().to("cpu", wanted).numpy()
        found = self.session.run(None, {argument.name: given})[0]
        return torch.from_numpy(found).to(images.device)

    def integer_kernels(self) -> list[str]:
        """Names of the nodes with an integer kernel, in the graph that is run: not in the file,
        whose quantizations become integer kernels only where the runtime recognizes them."""
        with tempfile.TemporaryDirectory() as folder:
            optimized = Path(folder) / "optimized.onnx"
            _session(self.path, optimized_model_filepath=str(optimized))
            graph = onnx.load(optimized, load_external_data=False).graph
        return [node.name for node in graph.node if node.op_type in _INTEGER]


def _session(path: Path, **more: Any) -> Any:
    """more: attributes of ``SessionOptions``."""
    onnxruntime = import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = _ERRORS_ALONE
    for name, value in more.items():
        setattr(options, name, value)
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no class in common
        reason = first_line(error)
        raise UserError(
            f"ONNX Runtime {onnxruntime.__version__} cannot load {path} ({reason}); a whole ONNX "
            f"file is accepted, of an opset that it knows"
        ) from error
