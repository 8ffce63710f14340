"""Which bits suit which layer: behind ``vitquant analyze`` and ``vitquant.analyze``."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
from torch import nn

from vitquant.config.analyze import AnalyzeSettings
from vitquant.core import distributed, threads
from vitquant.core.errors import UserError
from vitquant.core.files import check_writable, write_whole
from vitquant.core.partial_results import PartialResults
from vitquant.core.progress import Progress, Silent
from vitquant.data.image_source import ImageSource
from vitquant.data.reading import Reading
from vitquant.exporters.onnx.export import to_onnx
from vitquant.exporters.onnx.options import OnnxOptions
from vitquant.exporters.runtimes.layer_times import layer_times
from vitquant.models.float_options import FloatOptions, InputSize
from vitquant.models.model import Model
from vitquant.models.module_adapter import Output
from vitquant.models.sources import load_float
from vitquant.models.sources.from_module import Transform, image_mode
from vitquant.quantization.bit_allocation.sensitivity import Part, parts_of
from vitquant.quantization.ptq.context import PTQContext
from vitquant.reports.analysis import Analysis
from vitquant.reports.page.analysis import analysis_page
from vitquant.workflows.allocation.columns import measured_columns
from vitquant.workflows.allocation.sizes import FileSize, structure, weight_counts
from vitquant.workflows.calibration_images import (
    Confirm,
    Images,
    calibration_images,
    given_images,
    go_on,
    name_of,
)
from vitquant.workflows.inputs import inputs_of
from vitquant.workflows.open import check_is_float, reading_for
from vitquant.workflows.ptq import make_context
from vitquant.workflows.python_model import GivenModel

SUFFIXES = (".html", ".csv", ".json")


def analyze(
    model: str | nn.Module,
    bits: str | Sequence[str],
    calib: Images | None = None,
    *,
    weights: str | Path | None = None,
    num_classes: int | None = None,
    input_size: InputSize | Sequence[int] | None = None,
    arguments: dict[str, Any] | None = None,
    transform: Transform | None = None,
    output: Output | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
    **settings: Any,
) -> Analysis:
    """Measure what each layer of a float model loses at each width, without labels.

    Args:
        model: a name or a module, as :func:`quantize` takes it.
        bits: widths, such as ``"w2a8,w4a8"``, or a list of such.
        calib: images, as :func:`quantize` takes them.
        weights: with a name, a safetensors file of the float weights, or a folder of shards.
        num_classes: with a name, the number of classes in ``weights``.
        input_size: with a name, the side of images in pixels, or (height, width); with any module,
            (C, H, W).
        arguments: with a module of timm, the arguments that ``timm.create_model`` was given.
        transform: with any module, what images go through.
        output: with any module, a function that picks a tensor of what it returns.
        device: a torch device, such as ``"cuda"``.
        progress: a listener. By default nothing is printed.
        settings: the other options of ``vitquant analyze``, with ``_`` for ``-``.

    Raises:
        UserError: an argument cannot be used.
    """
    chosen = AnalyzeSettings.build(bits=bits, calib=name_of(calib), **settings)
    listener = progress or Silent()
    reading = reading_for(chosen.quantization, listener)
    own = given_images(calib, reading, image_mode(transform, calib))
    opened = GivenModel(
        model, weights, num_classes, input_size, arguments, transform, None, output, None
    ).open(own)

    def made() -> ImageSource:
        return calibration_images(chosen.quantization, opened, reading, device, listener, go_on)

    return _analyze(opened, made if own is None else own, chosen, None, device, listener, reading)


def run_analysis(
    name: str,
    settings: AnalyzeSettings,
    given: FloatOptions,
    out: Path | None,
    device: str,
    progress: Progress,
    confirm: Confirm = go_on,
) -> Analysis | None:
    """Analyze a float model by its name; None in all processes but the main one.

    out: a file to write, whose name says in which form. What is measured is kept beside it until
    all is, so that a run that was interrupted goes on.

    Raises:
        UserError: the model, the images or the file cannot be used.
        Interrupted: while what was measured is kept.
    """
    check_is_float(name)
    quantization = settings.quantization
    if out is not None and out.suffix not in SUFFIXES:
        raise UserError(f"--out: {out} ends in none of {', '.join(SUFFIXES)}, which are accepted")
    if out is not None and distributed.is_main():
        check_writable(out, "--out", inputs_of(quantization, name, given.weights))
    shown = progress if distributed.is_main() else Silent()
    model, reading = load_float(name, *given), reading_for(quantization, shown)

    def images() -> ImageSource:
        return calibration_images(quantization, model, reading, device, shown, confirm)

    done = _analyze(model, images, settings, out, device, shown, reading)
    if not distributed.is_main():
        return None
    if out is not None:
        _write(done, out)
        PartialResults.beside(out).remove()
    return done


def _analyze(
    model: Model,
    images: ImageSource | Callable[[], ImageSource],
    settings: AnalyzeSettings,
    out: Path | None,
    device: str,
    progress: Progress,
    reading: Reading,
) -> Analysis:
    quantization = settings.quantization
    samples = max(quantization.init_images, settings.sensitivity_images)
    context = make_context(model, images, quantization, samples, progress, device, reading)
    parts = parts_of(context.points)
    count = min(settings.sensitivity_images, len(context.images))
    progress.say(
        f"{model.identity.name}: {len(context.points.layers)} layers, "
        f"{len(context.points.matmuls)} matmuls, {len(settings.bits)} widths, "
        f"{count} images of {context.images.name}"
    )
    with threads.suited_to(model.image_cost):
        columns = measured_columns(context, parts, settings, out)
        time = _times(context) if settings.layer_times and distributed.is_main() else {}
    sizes = _bytes(context, parts, settings)
    return Analysis(model, count, context.images.name, parts, columns, sizes, time, settings)


def _times(context: PTQContext) -> dict[str, float]:
    """Shares of each layer and matmul in the time of an exported file, and of ``"other"``."""
    model, header = structure(context)
    layers, matmuls = context.points.layers, context.points.matmuls
    names = [*(point.name for point in layers), *(point.name for point in matmuls)]
    context.progress.say("exporting a file to time its layers")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(to_onnx(model, header, OnnxOptions(target=context.settings.profile)), path)
        seconds = layer_times(path, names, context.init_images.batch[:1].cpu())
    whole = sum(seconds.values())
    return {name: part / whole for name, part in seconds.items()}


def _bytes(context: PTQContext, parts: list[Part], settings: AnalyzeSettings) -> list[list[int]]:
    size = FileSize(context)
    counts = weight_counts(context)
    return [
        [
            sum(size.of_weights(counts.get(n, 0), bits.weight) for n in part.members)
            for bits in settings.bits
        ]
        for part in parts
    ]


def _write(done: Analysis, out: Path) -> None:
    if out.suffix == ".json":
        text = json.dumps(done.to_json(), ensure_ascii=False, indent=1) + "\n"
    else:
        text = done.to_csv() if out.suffix == ".csv" else analysis_page(done)
    write_whole(out, text.encode(), "--out")
