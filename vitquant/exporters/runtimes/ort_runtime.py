"""An ONNX file in ONNX Runtime, as a module."""

import tempfile
from pathlib import Path

import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from vitquant.errors import UserError

_ERRORS_ALONE = 3


class OnnxModule(nn.Module):
    """Runs a file on the CPU with as many threads as PyTorch has.

    Takes and returns tensors on any device. Inputs are converted to the type that the graph asks
    for. ``num_classes`` is 0 for a model without a classifier.
    """

    def __init__(self, path: Path, optimized: Path | None = None) -> None:
        """optimized: where to write the graph that is really run.

        Raises:
            UserError: ONNX Runtime cannot load the file.
        """
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = _ERRORS_ALONE
        if optimized is not None:
            options.optimized_model_filepath = str(optimized)
        try:
            self.session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its errors have no class in common
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"FILE: {path} cannot be loaded by ONNX Runtime {onnxruntime.__version__} "
                f"({reason}); a whole ONNX file is accepted, of an opset that it knows"
            ) from error
        self.num_classes = 0

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says about itself."""
        return self.session.get_modelmeta().custom_metadata_map

    def forward(self, images: Tensor) -> Tensor:
        (argument,) = self.session.get_inputs()
        wanted = torch.uint8 if argument.type == "tensor(uint8)" else torch.float32
        given = images.detach().to("cpu", wanted).numpy()
        (found,) = self.session.run(None, {argument.name: given})
        return torch.from_numpy(found).to(images.device)


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
