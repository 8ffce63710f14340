"""Does an exported file compute what the quantized model computes, and on integer kernels?"""

import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from vitquant.data.batches import batches
from vitquant.data.image_source import ImageSource
from vitquant.errors import CheckFailedError, UserError
from vitquant.evaluation.outputs import Likeness, likeness
from vitquant.exporters.noise_floor import float_products, rounded_differently
from vitquant.exporters.runtimes.base import largest_batch, open_onnx
from vitquant.exporters.runtimes.metadata import Metadata
from vitquant.exporters.runtimes.openvino_runtime import installed, open_openvino
from vitquant.exporters.runtimes.ort_runtime import integer_kernels
from vitquant.layers.weight import IntegerWeight
from vitquant.models.model import Model
from vitquant.progress import Progress, Silent

_BATCH = 8
_WARM_UP, _REPEATS = 2, 7


MARGIN = 0.25
"""By how much less a file may agree with the PyTorch model than that one, rounded differently,
agrees with itself. Of 32 images, half of it is chance."""

# As for agreement: how far the outputs may lie apart, relative to the twin's.
_FURTHER, _AND = 2.0, 0.05


@dataclass(frozen=True)
class Run:
    """A model in a runtime. milliseconds: of one image alone, the median of a few. likeness: to the
    quantized model in PyTorch, where both were run."""

    name: str
    bytes: int
    milliseconds: float
    likeness: Likeness | None = None


@dataclass(frozen=True)
class Verification:
    """What was found.

    images, source: how many images, and of what, the models were compared on.
    expected, integer: names of the nodes that are to run, and that run, on integer kernels.
    compared: the float and the quantized model in PyTorch.
    twin: the likeness of the quantized model to itself, rounded differently.
    exported: the file in each runtime, ONNX Runtime first.
    bound: the least agreement of those.
    remarks: what else a user should know.
    """

    images: int
    source: str
    expected: list[str]
    integer: list[str]
    compared: list[Run]
    twin: Likeness
    exported: list[Run]
    bound: float
    remarks: list[str]

    @property
    def agreement(self) -> float | None:
        """In ONNX Runtime; None for a model without a classifier."""
        assert self.exported[0].likeness is not None
        return self.exported[0].likeness.agreement

    @property
    def in_float(self) -> list[str]:
        """Names of the nodes that have fallen back."""
        return list((Counter(self.expected) - Counter(self.integer)).elements())

    def check(self) -> None:
        """Raises CheckFailedError if the file is not what it should be."""
        if self.in_float:
            some = ", ".join(self.in_float[:3]) + (", …" if len(self.in_float) > 3 else "")
            raise CheckFailedError(
                f"integer kernels: {len(self.in_float)} of {len(self.expected)} products run in "
                f"float in ONNX Runtime: {some}"
            )
        furthest = _FURTHER * self.twin.difference + _AND
        for run in self.exported:
            assert run.likeness is not None
            agreement, difference = run.likeness.agreement, run.likeness.difference
            if agreement is not None and agreement < self.bound:
                raise CheckFailedError(
                    f"--min-agreement: {run.name} agrees with the quantized model on "
                    f"{agreement:.1%} of {self.images} images, below {self.bound:.1%}"
                )
            if difference > furthest:
                raise CheckFailedError(
                    f"outputs: {run.name} differs from the quantized model by {difference:.3f} of "
                    f"the outputs' spread, more than {furthest:.3f}"
                )


@torch.inference_mode()
def verify(
    path: Path,
    model: Model,
    size: int,
    images: ImageSource,
    float_model: Model,
    real: bool,
    min_agreement: float | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Run a file beside the model that it was made from.

    Args:
        path: the file.
        model: the quantized model in PyTorch.
        size: bytes of its checkpoint.
        images: in memory, all of them are used.
        float_model: what was quantized; ``real``: with its weights, else it is there for its speed.
        min_agreement: the least; by default the twin's less ``MARGIN``.

    Raises:
        UserError: the file cannot be loaded.
    """
    progress = progress or Silent()
    opened = open_onnx(path)
    metadata = Metadata.read(opened.module.metadata)
    in_float = float_products if metadata.settings["float_attention"] else nullcontext
    with in_float(model.module):
        progress.say(f"comparing with PyTorch on {len(images)} images of {images.name}")
        expected = _outputs(model, images)
        with rounded_differently(model.module):
            twin = likeness(expected, _outputs(model, images), model.num_classes)

    def run(name: str, other: Model, size: int) -> Run:
        found = likeness(expected, _outputs(other, images), model.num_classes)
        return Run(name, size, _milliseconds(other, images), found)

    before = float_model.identity.float_bytes
    compared = [
        run("float, PyTorch", float_model, before)
        if real
        else Run("float, PyTorch", before, _milliseconds(float_model, images)),
        Run("quantized, PyTorch", size, _milliseconds(model, images)),
    ]
    file_size = path.stat().st_size
    exported = [run("exported, ONNX Runtime", opened, file_size)]
    remarks = []
    if installed():
        try:
            other = open_openvino(path, opened)
        except UserError as error:
            remarks.append(str(error))
        else:
            exported.append(run("exported, OpenVINO", other, file_size))
            layers = _layers(model, metadata.integer_kernels)
            found = other.module.integer_layers()
            remarks.append(f"OpenVINO runs {found} of {layers} layers on integer kernels")
    bound = (twin.agreement or 0) - MARGIN if min_agreement is None else min_agreement
    return Verification(
        images=len(images),
        source=images.name,
        expected=metadata.integer_kernels,
        integer=integer_kernels(path),
        compared=compared,
        twin=twin,
        exported=exported,
        bound=max(0.0, bound),
        remarks=remarks,
    )


def _outputs(model: Model, images: ImageSource) -> Tensor:
    size = largest_batch(model, _BATCH)
    loaded = batches(images, range(len(images)), model.transform(), size)
    return torch.cat([model.module(batch) for batch, _ in loaded])


def _milliseconds(model: Model, images: ImageSource) -> float:
    example = model.transform()(images.image(0))[None]
    taken = []
    for _ in range(_WARM_UP + _REPEATS):
        start = time.perf_counter()
        model.module(example)
        taken.append(1e3 * (time.perf_counter() - start))
    return median(taken[_WARM_UP:])


def _layers(model: Model, names: list[str]) -> int:
    """How many of the names are those of layers rather than of products of activations."""
    return sum(isinstance(model.module.get_submodule(name), IntegerWeight) for name in names)
