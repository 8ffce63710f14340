"""The float model as an ONNX file, and the int8 that each runtime makes of it by itself."""

import io
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import onnx
import torch
from torch import Tensor

from vitquant.benchmark.candidate import Candidate, metadata_of
from vitquant.exporters.onnx.trace import INPUT, trace
from vitquant.exporters.runtimes.openvino_runtime import import_openvino
from vitquant.models.model import Model

_OPSET = 21

Quantize = Callable[[Path, Tensor, Path], Path]
"""From a float ONNX file, calibration images (N, C, H, W) and a folder to a file there."""


@dataclass(frozen=True)
class OwnInt8:
    """name: as its makers call it. package: what has to be installed for it."""

    name: str
    package: str
    quantize: Quantize


def float_candidate(model: Model, folder: Path) -> Candidate:
    """The float model, traced as an exported one is. Raises UserError if it cannot be."""
    path = folder / "float.onnx"
    example = torch.zeros(2, *model.input_size)
    onnx.save(trace(model.module, example, {0: "batch"}, _OPSET, "logits"), path)
    return Candidate("float", "float", path, metadata_of(model, "float"), model.input_size)


def int8_candidate(
    runtime: str, plain: Candidate, model: Model, images: Tensor, folder: Path
) -> Candidate:
    """What a runtime with an entry in ``OWN_INT8``, which is installed, makes of the float file."""
    own = OWN_INT8[runtime]
    with _quiet():
        path = own.quantize(plain.path, images, folder)
    about = metadata_of(model, "w8a8")
    return Candidate(own.name, "int8", path, about, model.input_size, runtimes=(runtime,))


def missing(runtime: str) -> str | None:
    """Why a runtime cannot make int8 here; None where it can."""
    if runtime not in OWN_INT8:
        return f"nothing is known that makes int8 for {runtime}"
    own = OWN_INT8[runtime]
    if find_spec(own.package) is None:
        return f"no int8 by {runtime} itself: {own.name} is missing; pip install {own.package}"
    return None


def _quantize_static(plain: Path, images: Tensor, folder: Path) -> Path:
    """ONNX Runtime's own W8A8: QDQ, a scale for each channel of weights."""
    quantization = import_module("onnxruntime.quantization")
    shapes = import_module("onnxruntime.quantization.shape_inference")
    prepared, static = folder / "prepared.onnx", folder / "static.onnx"

    class Reader(quantization.CalibrationDataReader):  # type: ignore[name-defined]
        """Calibration images, one at a time."""

        def __init__(self) -> None:
            self._rest = iter(images.split(1))

        def get_next(self) -> dict[str, object] | None:
            image = next(self._rest, None)
            return None if image is None else {INPUT: image.numpy()}

    shapes.quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
    quantization.quantize_static(
        str(prepared),
        str(static),
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    return static


def _nncf(plain: Path, images: Tensor, folder: Path) -> Path:
    """NNCF's int8 for OpenVINO, with its preset for transformers."""
    openvino, nncf = import_openvino(), import_openvino("nncf")
    nncf.set_log_level(logging.ERROR)
    quantized = nncf.quantize(
        openvino.Core().read_model(str(plain)),
        nncf.Dataset([image.numpy() for image in images.split(1)]),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(images),
    )
    path = folder / "nncf.xml"
    openvino.save_model(quantized, str(path), compress_to_fp16=False)
    return path


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what both tell about themselves, partly on stdout."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)


OWN_INT8 = {
    "onnxruntime": OwnInt8("quantize_static", "onnxruntime", _quantize_static),
    "openvino": OwnInt8("NNCF", "nncf", _nncf),
}
"""By the name of the runtime."""
