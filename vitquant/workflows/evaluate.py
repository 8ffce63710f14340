"""Measure a model by its name: behind ``vitquant eval`` and ``vitquant.evaluate``."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vitquant.checkpoint.read import read_checkpoint, restore
from vitquant.config.evaluate import EvaluateSettings
from vitquant.core import distributed, threads
from vitquant.core.device import describe_device
from vitquant.core.errors import CheckFailedError, UserError
from vitquant.core.progress import Progress, Silent
from vitquant.data.open import Role
from vitquant.evaluation import accuracy
from vitquant.evaluation.accuracy import Evaluation
from vitquant.exporters.runtimes.base import ExportedAdapter
from vitquant.models.float_options import FloatOptions, InputSize
from vitquant.models.model import Model
from vitquant.models.module_adapter import Build, ImageTransform, ModuleAdapter, Output
from vitquant.workflows.open import (
    ExportedFile,
    FloatName,
    Named,
    images_for,
    open_float_of,
    open_model,
    reading_for,
    resolve,
)
from vitquant.workflows.python_model import adapter_of_checkpoint

_OTHER = "; name a model after --reference to compare with another"


@dataclass(frozen=True)
class Evaluated:
    """A model's scores.

    Attributes:
        name: of the model, as given.
        model: what was measured.
        reference: the model that was measured beside it; None without one.
        data: the source of the images.
        found: the figures.
        settings: what the evaluation was asked for.
    """

    name: str
    model: Model
    reference: Model | None
    data: str
    found: Evaluation
    settings: EvaluateSettings

    def check(self) -> None:
        """Raises CheckFailedError if top-1 is below the setting ``min_top1``."""
        least, top1 = self.settings.min_top1, self.found.accuracy.top1
        if least is not None and top1 < least:
            flag = self.settings.naming.option("min_top1")
            raise CheckFailedError(f"{flag}: top-1 is {top1:.4f}, below {least}")

    def to_json(self) -> dict[str, Any]:
        """What ``vitquant eval --json`` prints."""
        found = self.found
        result: dict[str, Any] = {
            "model": self.name,
            "float_model": self.model.identity.to_json(),
            "data": self.data,
            "images": found.images,
            "top1": found.accuracy.top1,
            "top5": found.accuracy.top5,
            "images_per_second": round(found.images_per_second, 2),
        }
        if self.reference is not None and found.reference is not None:
            result["reference"] = {
                "model": self.reference.identity.name,
                "weights_sha256": self.reference.identity.weights_sha256,
                "top1": found.reference.top1,
                "top5": found.reference.top5,
            }
            result["agreement"] = found.agreement
            result["drop"] = found.reference.top1 - found.accuracy.top1
        return result


def evaluate(
    model: str | Path,
    data: str | Path,
    *,
    weights: str | Path | None = None,
    num_classes: int | None = None,
    input_size: InputSize | None = None,
    build: Build | None = None,
    transform: ImageTransform | None = None,
    output: Output | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
    **settings: Any,
) -> Evaluated:
    """Measure top-1 and top-5 accuracy of a model, alone or beside a reference.

    Args:
        model: a name as on the command line, such as the path of a checkpoint or of an ONNX file
            that vitquant wrote (docs/how-to/your-model.md).
        data: labeled images: what ``--data`` takes (docs/how-to/your-images.md).
        weights: a safetensors file of the float weights, or a folder of shards: of ``model``, or of
            the reference where ``model`` is a checkpoint.
        num_classes: the number of classes in ``weights``.
        input_size: of the float model: the side of square images in pixels, or (height, width).
        build, transform, output: of a file that holds a module which is not timm's, the functions
            that it was quantized with; of an ONNX file, ``transform`` alone.
        device: a torch device, such as ``"cuda"``. An ONNX file runs on the CPU.
        progress: a listener. By default nothing is printed.
        settings: ``reference``, ``min_top1``, ``batch_size`` and the other options of
            ``vitquant eval``, with ``_`` for ``-``. ``reference="float"`` is the float model that a
            checkpoint was made from.

    Returns:
        The figures.

    Raises:
        UserError: an argument cannot be used.
        CheckFailedError: top-1 is below ``min_top1``.
    """
    chosen = EvaluateSettings.build(data=data, **settings)
    given = FloatOptions.build(weights, num_classes, input_size)
    named, progress = resolve(str(model)), progress or Silent()
    own = _with_functions(named, build, transform, output, chosen.runtime)
    evaluated = run_evaluation(named, chosen, given, device, progress, own)
    evaluated.check()
    return evaluated


def run_evaluation(
    named: Named,
    settings: EvaluateSettings,
    given: FloatOptions,
    device: str,
    progress: Progress,
    opened: Model | None = None,
) -> Evaluated:
    """As :func:`evaluate`, with settings at hand, ``opened`` perhaps too, and without the check."""
    opened, reference = _open(named, settings, given, opened)
    _check_pair(opened, reference)
    flag = settings.naming.option("data")
    reading = reading_for(settings, progress)
    ignored = settings.ignore_unknown
    images = images_for(
        opened, settings.data, flag, Role.EVALUATION, ignore_unknown=ignored, reading=reading
    )
    if images.skipped:
        progress.warn(
            f"{sum(images.skipped.values())} images left out, of "
            f"{len(images.skipped)} folders that no class matches"
        )
    progress.say(f"{len(images)} images of {images.name} on {describe_device(device)}")
    if reference is not None:
        reference.to(device)
    size = min(settings.batch_size, opened.max_batch or settings.batch_size)
    with threads.suited_to(opened.image_cost):
        found = accuracy.evaluate(opened.to(device), images, size, reference, progress, device)
    reading.report(divided=True)
    return Evaluated(named.name, opened, reference, images.name, found, settings)


def check_evaluated(evaluated: Evaluated) -> None:
    """:meth:`Evaluated.check`, once all processes are done."""
    distributed.barrier()  # a process that fails takes the one that prints with it
    evaluated.check()


def _open(
    named: Named, settings: EvaluateSettings, given: FloatOptions, opened: Model | None
) -> tuple[Model, Model | None]:
    reference = settings.reference
    for_model, for_reference = FloatOptions(), given
    if isinstance(named, FloatName):
        for_model, for_reference = for_reference, for_model
    elif reference is None and given.weights is not None:
        raise UserError(
            f"--weights: {named.name} is a checkpoint and holds its own; with --reference "
            f"the file is accepted, for the reference"
        )
    elif reference in (None, "float") and given[1:] != (None, None):
        flag = "--input-size" if given.num_classes is None else "--num-classes"
        raise UserError(
            f"{flag}: {named.name} is a checkpoint and knows its own; with --reference "
            f"MODEL it is accepted, for the reference"
        )
    opened = opened or open_model(named, *for_model, runtime=settings.runtime)
    if reference is None:
        return opened, None
    if reference == "float":
        return opened, open_float_of(opened, for_reference.weights, _OTHER)
    return opened, open_model(reference, *for_reference)


def _with_functions(
    named: Named,
    build: Build | None,
    transform: ImageTransform | None,
    output: Output | None,
    runtime: str | None,
) -> Model | None:
    """A model that needs functions in Python; None if there are none."""
    if build is None and transform is None and output is None:
        return None
    if isinstance(named, ExportedFile) and transform is not None and not (build or output):
        opened = open_model(named, runtime=runtime)
        return replace(opened, adapter=ExportedAdapter(ModuleAdapter(transform=transform)))
    if isinstance(named, ExportedFile | FloatName):
        raise UserError(
            f"build, transform, output: {named.name} is no checkpoint; they go with a checkpoint "
            f"of a module in Python, and transform with an ONNX file of one"
        )
    read = read_checkpoint(named.path)
    return restore(read, adapter_of_checkpoint(read, build, transform, output))


def _check_pair(model: Model, reference: Model | None) -> None:
    if model.num_classes == 0:
        raise UserError(
            f"MODEL: {model.identity.name} has no classifier; a model with classes is accepted"
        )
    if reference is not None and reference.num_classes != model.num_classes:
        raise UserError(
            f"--reference: {reference.identity.name} has {reference.num_classes} classes, the "
            f"model {model.num_classes}; a model of the same classes is accepted"
        )


def device_of(named: Named, device: str) -> str:
    """``device``, or the CPU for an exported file.

    Raises:
        UserError: another device is asked for, and the file cannot use it.
    """
    if not isinstance(named, ExportedFile):
        return device
    if device not in ("auto", "cpu"):
        raise UserError(f"--device: {named.name} runs on the CPU; leave it out")
    return "cpu"
