"""An exported file as a model like any other."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vitquant.errors import UserError
from vitquant.exporters.runtimes.metadata import Metadata
from vitquant.exporters.runtimes.openvino_runtime import open_openvino
from vitquant.exporters.runtimes.ort_runtime import OnnxModule
from vitquant.models.model import Model

RUNTIMES = ("onnxruntime", "openvino")


class RawImageModel(Model):
    """A model whose graph preprocesses: its transform only makes a tensor of an image.

    Images of one batch must have the same size.
    """

    def transform(self) -> Callable[[Image.Image], torch.Tensor]:
        """PIL image → (H, W, 3) uint8."""
        return lambda image: torch.from_numpy(np.array(image.convert("RGB")))


def is_onnx(name: str) -> bool:
    """Whether MODEL is the path of an ONNX file."""
    return name.endswith(".onnx")


def open_onnx(path: Path, runtime: str = RUNTIMES[0]) -> Model:
    """A file that ``vitquant export`` wrote, run on the CPU by one of ``RUNTIMES``.

    Raises:
        UserError: the file is missing, damaged, or of another origin, or the runtime is missing or
            does not accept it.
    """
    if runtime not in RUNTIMES:
        raise UserError(f"--runtime: {runtime!r} is not known; {', '.join(RUNTIMES)} is accepted")
    if not path.is_file():
        raise UserError(f"FILE: {path} is not a file; one that vitquant export wrote is accepted")
    module = OnnxModule(path)
    try:
        metadata = Metadata.read(module.metadata)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"FILE: {path} is not an ONNX file that this vitquant wrote ({error} in its metadata); "
            f"its preprocessing and classes are not known"
        ) from error
    module.num_classes = metadata.num_classes
    opened = _model(module, metadata)
    if runtime == RUNTIMES[0]:
        return opened
    try:
        return open_openvino(path, opened)
    except UserError as error:
        raise UserError(f"--runtime: {error}") from error


def _model(module: OnnxModule, metadata: Metadata) -> Model:
    if not metadata.raw_images:
        return Model(module, metadata.identity, metadata.preprocessing, metadata.classes)
    # A reference beside it needs a transform of its own: what differs is not shared.
    preprocessing = metadata.preprocessing | {"in_graph": True}
    return RawImageModel(module, metadata.identity, preprocessing, metadata.classes)


def largest_batch(model: Model, wanted: int) -> int:
    """How many images may be given to a model at once: one, where they may differ in size."""
    return 1 if isinstance(model, RawImageModel) else wanted
