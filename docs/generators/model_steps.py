"""Every step of vitquant, tried on one small model: what works, and the error of what does not."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch

from vitquant.checkpoint.read import read_checkpoint, restore
from vitquant.config.quantize import QuantizeSettings
from vitquant.config.synthesize import InversionSettings
from vitquant.core.errors import CheckFailedError, UserError, first_line
from vitquant.core.progress import Silent
from vitquant.data.sources.noise import SmoothNoiseSource
from vitquant.data.texts import template_texts
from vitquant.evaluation.agreement import compare_outputs, outputs
from vitquant.exporters.onnx.export import export_onnx
from vitquant.exporters.verify import Verification
from vitquant.models.model import Model
from vitquant.quantization.graph.points import QuantizationPoints, find_points
from vitquant.synthesis.image_job import GenerationOptions
from vitquant.synthesis.inversion.job import build_inversion
from vitquant.synthesis.job import run
from vitquant.workflows import ptq

METHODS = ("rtn", "repq", "dfq", "joint", "block")
STEPS = (*METHODS, "checkpoint", "onnx", "kernels", "openvino", "inversion")
"""Columns in the order in which they are filled, after those of :func:`found_in`."""
YES, NONE = "yes", "none"
Cells = dict[str, str]

_BITS = "w8a8"
_IMAGES = 2
_BRIEF: dict[str, Any] = {"samples": _IMAGES, "init_images": _IMAGES}
_TRAINING: dict[str, Any] = {"steps": 2, "batch_size": _IMAGES, "compile": False}
_ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)
# 8 bits differ by a few hundredths.
_FURTHEST = 0.5
_LONGEST = 160


def found_in(model: Model) -> Cells:
    """What there is to quantize in a model, and why it is refused, if it is."""
    points = find_points(model.module, model.example_inputs(), model.tokens)
    classes = {n: type(model.module.get_submodule(n)).__name__ for n in points.unsupported}
    refused = {f"{why} ({classes[name]})" for name, why in points.unsupported.items()}
    return {
        "layers": str(len(points.layers)),
        "matmuls": str(len(points.matmuls)),
        "constant": str(len(points.constant)),
        "attention": _attention(points, classes.values()),
        "refused": "; ".join(sorted(refused)),
    }


def try_steps(model: Model, folder: Path, note: Callable[[Cells], None]) -> None:
    """Try each step, and note its cells as soon as they are known.

    A cell is ``"yes"``, ``"none"`` where there is nothing to do, or the error in one line. A model
    that is refused is quantized with ``allow_float``. folder: empty; files are written there.
    """
    found = found_in(model)
    note(found)
    file, broken = folder / "model.safetensors", ""
    for method in METHODS:
        made: list[ptq.Quantized] = []
        quantize = partial(_quantize, model, method, bool(found["refused"]), made)
        note({method: _attempt(quantize, folder)})
        if made and not broken:
            kept = file if method == METHODS[0] else file.with_name("other.safetensors")
            same = _attempt(partial(_save_and_load, made[0], kept), folder)
            broken = "" if same == YES else f"{method}: {same}"
    note({"checkpoint": broken or (YES if file.exists() else NONE)})
    verified: list[Verification] = []
    note({"onnx": _attempt(partial(_export, file, verified), folder) if file.exists() else NONE})
    if verified:
        note(_runtimes(verified[0], folder))
    invert = partial(_invert, model, folder)
    note({"inversion": _attempt(invert, folder) if model.num_classes else NONE})


def _attention(points: QuantizationPoints, unsupported: Iterable[str]) -> str:
    """Whether the matmuls of attention are quantized. unsupported: classes of modules."""
    if any(_ATTENTION.search(name) for name in unsupported):
        return "not all"
    return "quantized" if points.matmuls else "none there"


def _attempt(step: Callable[[], None], folder: Path) -> str:
    try:
        step()
    except Exception as error:  # whatever it is, the table says so
        line = first_line(error).replace(f"{folder}/", "")
        if isinstance(error, UserError | CheckFailedError):
            return line.partition("; ")[0]  # what follows says what is accepted
        return shorten(f"{type(error).__name__}: {line}", _LONGEST, placeholder=" …")
    return YES


def _quantize(model: Model, method: str, allow_float: bool, made: list[ptq.Quantized]) -> None:
    """Add the quantized model to ``made``, and look at what it computes."""
    training = _TRAINING if method in ("joint", "block") else {}
    settings = QuantizeSettings.build(
        None, bits=_BITS, calib="noise", method=method, allow_float=allow_float,
        **_BRIEF, **training,
    )  # fmt: skip
    inputs = (
        template_texts("texts", _IMAGES, seed=0)
        if model.reads_text
        else SmoothNoiseSource(_IMAGES, model.image_size)
    )
    quantized = ptq.quantize(model, inputs, settings)
    made.append(quantized)
    expected, found = (outputs(m, inputs, range(_IMAGES)) for m in (model, quantized.model))
    difference = compare_outputs(expected, found, num_classes=0).difference
    if difference > _FURTHEST:
        raise CheckFailedError(f"the outputs differ from float by {difference:.2f} of their spread")


def _save_and_load(quantized: ptq.Quantized, file: Path) -> None:
    quantized.save(file)
    restored = restore(read_checkpoint(file))
    torch.testing.assert_close(
        _outputs(restored), _outputs(quantized.model), rtol=0, atol=0, equal_nan=True
    )


def _export(file: Path, verified: list[Verification]) -> None:
    """As ``vitquant export`` does; adds how the file compares to ``verified``."""
    checkpoint = read_checkpoint(file)
    found = export_onnx(
        restore(checkpoint),
        checkpoint.header,
        file.with_suffix(".onnx"),
        size=checkpoint.bytes,
        count=_IMAGES,
        min_agreement=0.0,  # of two images and random weights; the outputs are compared
    )
    verified.append(found)


def _runtimes(found: Verification, folder: Path) -> Cells:
    """Whether the file passes in ONNX Runtime and in OpenVINO."""
    first, *others = (replace(found, exported=[run]) for run in found.exported)
    expected = len(found.expected)
    return {
        "onnx": _attempt(first.check, folder),
        "kernels": f"{expected - len(found.in_float)} of {expected}",
        "openvino": _attempt(others[0].check, folder) if others else "; ".join(found.notes) or NONE,
    }


def _invert(model: Model, folder: Path) -> None:
    settings = InversionSettings.build(samples=_IMAGES, iterations=2)
    job = build_inversion(model, settings, GenerationOptions(), Silent())
    run(job, folder / "images", Silent())


@torch.inference_mode()
def _outputs(model: Model) -> torch.Tensor:
    return model(model.example_inputs())
