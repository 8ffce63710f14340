"""An exported file in OpenVINO."""

import sys
from collections import defaultdict
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from vitquant.core.errors import UserError
from vitquant.exporters.onnx.graph import INT2
from vitquant.exporters.runtimes.base import ExportedModule, NodeTime
from vitquant.exporters.runtimes.metadata import Metadata

# What OpenVINO calls the layers that a quantized Linear or Conv2d becomes.
_LAYERS = ("FullyConnected", "Convolution")
_INTEGER = ("u8", "i8")
# What a file asks for in place of floats: raw images, or tokens.
_TYPES = {"u8": torch.uint8, "i64": torch.int64}
_BYTES = {"u8", "i8", "uint8_t", "int8_t"}
_CLIENT = "openvino_telemetry"
_WARM_UP = 3


def import_openvino(name: str = "openvino") -> ModuleType:
    """OpenVINO, or NNCF, without its telemetry, which sends an event when OpenVINO is imported.

    Nothing but a file below the home folder turns that off; where the client that both send with
    cannot be imported, they do without.
    """
    if _CLIENT in sys.modules:  # then somebody has decided already
        return import_module(name)
    sys.modules[_CLIENT] = None  # type: ignore[assignment]
    try:
        return import_module(name)
    finally:
        del sys.modules[_CLIENT]


class OpenVino:
    """OpenVINO, an optional dependency."""

    name, label, format = "openvino", "OpenVINO", "onnx"

    def installed(self) -> bool:
        """Whether the package is there."""
        return find_spec("openvino") is not None

    def open(self, path: Path, metadata: Metadata) -> "OpenVinoModule":
        """Raises UserError if OpenVINO is missing or does not accept the file."""
        if not self.installed():
            raise UserError("OpenVINO is not installed; pip install openvino")
        try:
            return OpenVinoModule(path, metadata.num_classes)
        except RuntimeError as error:
            narrow = INT2.name in metadata.settings["weight_types"]
            advice = ": it has no integers of 2 bits; export --weight-type int4 does without"
            raise UserError(
                f"OpenVINO does not run the file ({_reason(error)}){advice if narrow else ''}"
            ) from error

    def profile(self, path: Path, images: Tensor, runs: int) -> list[NodeTime]:
        """By OpenVINO's performance counters, with the type that a node computes with."""
        module = OpenVinoModule(path, 0, PERF_COUNT=True)
        request = module.compiled.create_infer_request()
        given = [module.converted(images)]
        for _ in range(_WARM_UP):
            request.infer(given)
        kinds: dict[str, str] = {}
        seconds: dict[str, float] = defaultdict(float)
        for _ in range(runs):
            request.infer(given)
            for node in request.profiling_info:
                if node.status == node.Status.EXECUTED:
                    computed = node.exec_type.rpartition("_")[2].lower()
                    kinds[node.node_name] = f"{node.node_type} ({computed})"
                    seconds[node.node_name] += node.real_time.total_seconds() / runs
        return [NodeTime(kinds[name], taken) for name, taken in seconds.items()]


class OpenVinoModule(ExportedModule):
    """Runs a file on the CPU with as many threads as PyTorch has, in integers and float32."""

    def __init__(self, path: Path, num_classes: int, **more: Any) -> None:
        """more: properties of OpenVINO's plugin for CPUs.

        Raises RuntimeError if OpenVINO does not accept the file: it knows no 2-bit integers."""
        super().__init__()
        self.num_classes = num_classes
        core = import_openvino().Core()
        settings = {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            # By default it computes in bfloat16 where the hardware does.
            "INFERENCE_PRECISION_HINT": "f32",
            **more,
        }
        self.compiled = core.compile_model(core.read_model(str(path)), "CPU", settings)

    def forward(self, images: Tensor) -> Tensor:
        found = self.compiled([self.converted(images)])[0]
        return torch.from_numpy(found.copy()).to(images.device)

    def converted(self, images: Tensor) -> Any:
        """Images as an array of the type that the file asks for."""
        (argument,) = self.compiled.inputs
        wanted = _TYPES.get(argument.element_type.to_string(), torch.float32)
        return images.detach().to("cpu", wanted).numpy()

    def integer_attentions(self) -> int:
        """How many attentions are one kernel that is given integers alone.

        OpenVINO fuses both matmuls with the softmax between them into a ``Subgraph``.
        """
        found = 0
        for node in self.compiled.get_runtime_model().get_ops():
            info = node.get_rt_info()
            fused = "softmax" in info["originalLayersNames"].astype(str).lower()
            types = {port.get_element_type().to_string() for port in node.inputs()}
            found += info["layerType"].astype(str) == "Subgraph" and fused and types <= _BYTES
        return found

    def integer_layers(self) -> int:
        """Attention is fused into kernels that do not say what they are, so of layers alone."""
        described = [node.get_rt_info() for node in self.compiled.get_runtime_model().get_ops()]
        return sum(
            info["layerType"].astype(str) in _LAYERS
            and info["runtimePrecision"].astype(str) in _INTEGER
            for info in described
        )


def _reason(error: BaseException) -> str:
    """Of OpenVINO's several lines, the last says what is the matter."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
