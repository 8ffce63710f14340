"""An ONNX file in OpenVINO, as a module."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from vitquant.errors import UserError
from vitquant.exporters.onnx.graph import INT2
from vitquant.exporters.runtimes.metadata import Metadata
from vitquant.models.model import Model

# What OpenVINO calls the layers that a quantized Linear or Conv2d becomes.
_PRODUCTS = ("FullyConnected", "Convolution", "MatMul")
_INTEGER = ("u8", "i8")


def installed() -> bool:
    """Whether there is an OpenVINO to run files with."""
    return find_spec("openvino") is not None


def open_openvino(path: Path, opened: Model) -> Model:
    """The file in OpenVINO. opened: the same in ONNX Runtime.

    Raises:
        UserError: OpenVINO is not installed, or does not accept the file: it knows no 2-bit
            integers.
    """
    if not installed():
        raise UserError("OpenVINO is not installed; pip install openvino")
    try:
        return replace(opened, module=OpenVinoModule(path, opened.num_classes))
    except RuntimeError as error:
        stored = Metadata.read(opened.module.metadata).settings["weight_types"]
        advice = ": it has no integers of 2 bits; --container int4 does without"
        raise UserError(
            f"OpenVINO does not run the file ({_reason(error)})"
            f"{advice if INT2.name in stored else ''}"
        ) from error


class OpenVinoModule(nn.Module):
    """Runs a file on the CPU with as many threads as PyTorch has, in integers and float32."""

    def __init__(self, path: Path, num_classes: int) -> None:
        """Raises RuntimeError if OpenVINO does not accept the file: it knows no 2-bit integers."""
        super().__init__()
        self.num_classes = num_classes
        # Importing it takes a while.
        import openvino

        core = openvino.Core()
        settings = {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            # By default it computes in bfloat16 where the hardware does.
            "INFERENCE_PRECISION_HINT": "f32",
        }
        self.compiled = core.compile_model(core.read_model(str(path)), "CPU", settings)

    def forward(self, images: Tensor) -> Tensor:
        (argument,) = self.compiled.inputs
        wanted = torch.uint8 if argument.element_type.to_string() == "u8" else torch.float32
        found = self.compiled([images.to(wanted).numpy()])[0]
        return torch.from_numpy(found.copy())

    def integer_layers(self) -> int:
        """How many Linear and Conv2d layers run on integer kernels. Attention is fused into kernels
        that do not say so."""
        described = [node.get_rt_info() for node in self.compiled.get_runtime_model().get_ops()]
        return sum(
            info["layerType"].astype(str) in _PRODUCTS
            and info["runtimePrecision"].astype(str) in _INTEGER
            for info in described
        )


def _reason(error: BaseException) -> str:
    """Of OpenVINO's several lines, the last says what is the matter."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
