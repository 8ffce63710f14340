"""Does an exported file compute what the quantized model computes, and on integer kernels?"""

import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from statistics import median

import torch

from vitquant.core.errors import UserError
from vitquant.core.progress import Progress, Silent
from vitquant.data.image_source import ImageSource
from vitquant.evaluation.agreement import compare_outputs, outputs
from vitquant.exporters.compared import with_random_weights
from vitquant.exporters.noise_floor import float_matmuls, perturb_accumulation
from vitquant.exporters.runtimes.base import ExportedModule, Runtime, as_model
from vitquant.exporters.runtimes.metadata import Metadata
from vitquant.exporters.runtimes.registry import METADATA, installed_runtimes
from vitquant.exporters.verification import Run, Verification
from vitquant.models.model import Model
from vitquant.quantization.layers.base import IntLayer
from vitquant.quantization.quantizers.modules import FrozenQuantizer

MARGIN = 0.25
"""By how much less a file may agree with the PyTorch model than that one agrees with itself under
accumulation noise. Of 32 images, half of it is chance."""

_WARM_UP, _REPEATS = 2, 7
_RULES_NOTE = "checked against the documented rules of the target, not run in its runtime"


@torch.inference_mode()
def verify(
    path: Path,
    model: Model,
    size: int,
    images: ImageSource,
    float_model: Model | None = None,
    min_agreement: float | None = None,
    broken_rules: list[str] | None = None,
    format: str = "onnx",
    progress: Progress | None = None,
) -> Verification:
    """Run an exported file, in each installed runtime, beside the model that it was made from.

    Args:
        path: the file, of ``model``, the quantized model in PyTorch.
        size: bytes of its checkpoint.
        images: in memory, all of them are used.
        float_model: what was quantized; without it, only the speed of its architecture is measured.
        broken_rules: see :class:`Verification`.
        format: of ``--format``: which runtimes open the file.
        min_agreement: the least, from 0 to 1; by default the self-agreement less ``MARGIN``.

    Raises:
        UserError: the file cannot be loaded.
    """
    progress = progress or Silent()
    metadata = METADATA[format](path)
    opened, notes = _open(path, metadata, format)
    shown = range(len(images))
    in_float = float_matmuls if metadata.settings["float_attention"] else nullcontext
    with in_float(model.module):
        progress.say(f"comparing with PyTorch on {len(images)} images of {images.name}")
        expected = outputs(model, images, shown)
        with perturb_accumulation(model.module):
            own = compare_outputs(expected, outputs(model, images, shown), model.num_classes)

    def run(kind: str, runtime: str, other: Model, size: int, in_float: list[str]) -> Run:
        found = compare_outputs(expected, outputs(other, images, shown), model.num_classes)
        return Run(kind, runtime, size, _milliseconds(other, images), found, in_float)

    plain = float_model or with_random_weights(model)
    before = plain.identity.float_bytes
    compared = [
        run("float", "PyTorch", plain, before, [])
        if float_model is not None
        else Run("float", "PyTorch", before, _milliseconds(plain, images)),
        Run("quantized", "PyTorch", size, _milliseconds(model, images)),
    ]
    exported = []
    for runtime, module in opened:
        fallen_back = _in_float(module, metadata.integer_kernels)
        other = as_model(module, metadata, model.adapter)
        exported.append(run("exported", runtime.label, other, path.stat().st_size, fallen_back))
        integer_layers = module.integer_layers() if metadata.integer_kernels else None
        if integer_layers is not None:
            layers = _layers(model, metadata.integer_kernels)
            notes.append(
                f"{runtime.label} runs {integer_layers} of {layers} layers on integer kernels, and "
                f"{module.integer_attentions() or 0} attentions as one each"
            )
    if broken_rules is not None:
        notes.append(_RULES_NOTE)
    if any(m.grid.signed for m in model.module.modules() if isinstance(m, FrozenQuantizer)):
        notes.append(
            "16-bit integer activations: on CPUs, ONNX Runtime rounds them and multiplies in "
            "float; OpenVINO leaves the rounding out"
        )
    if min_agreement is None:
        min_agreement = (own.agreement or 0) - MARGIN
    return Verification(
        images=len(images),
        source=images.name,
        expected=metadata.integer_kernels,
        compared=compared,
        self_agreement=own,
        exported=exported,
        min_agreement=max(0.0, min_agreement),
        notes=notes,
        broken_rules=broken_rules,
    )


def _open(
    path: Path, metadata: Metadata, format: str
) -> tuple[list[tuple[Runtime, ExportedModule]], list[str]]:
    """The file in the installed runtimes, and why others than the default do not accept it."""
    opened: list[tuple[Runtime, ExportedModule]] = []
    notes = []
    for runtime in installed_runtimes(format):
        try:
            opened.append((runtime, runtime.open(path, metadata)))
        except UserError as error:
            if not opened:
                raise UserError(f"FILE: {error}") from error
            notes.append(str(error))
    return opened, notes


def _milliseconds(model: Model, images: ImageSource) -> float:
    example = model.transform()(images.image(0))[None]
    taken = []
    for _ in range(_WARM_UP + _REPEATS):
        start = time.perf_counter()
        model(example)
        taken.append(1e3 * (time.perf_counter() - start))
    return median(taken[_WARM_UP:])


def _in_float(module: ExportedModule, expected: list[str]) -> list[str]:
    """Names of the nodes that have fallen back, where the runtime tells."""
    found = module.integer_kernels()
    return [] if found is None else list((Counter(expected) - Counter(found)).elements())


def _layers(model: Model, names: list[str]) -> int:
    """How many of the names are those of layers rather than of matmuls of activations."""
    layers = {name for name, m in model.module.named_modules() if isinstance(m, IntLayer)}
    # From the second time on that a layer runs, its name has a number behind it.
    return sum(name in layers or name.rpartition(".")[0] in layers for name in names)
