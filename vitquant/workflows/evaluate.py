"""Measure a model by its name: behind ``vitquant eval`` and ``vitquant.evaluate``."""

from pathlib import Path
from typing import Any

from vitquant.config.evaluate import EvaluateSettings
from vitquant.core import distributed, threads
from vitquant.core.device import describe_device
from vitquant.core.errors import UserError
from vitquant.core.progress import Progress, Silent
from vitquant.data.class_names import FolderClasses, LabelSpace
from vitquant.data.open import ImageSource, Role, open_source
from vitquant.data.reading import Reading
from vitquant.evaluation import accuracy
from vitquant.evaluation.accuracy import Evaluation
from vitquant.evaluation.outputs import OutputEvaluation, evaluate_outputs
from vitquant.models.float_options import FloatOptions, InputSize
from vitquant.models.model import Model
from vitquant.models.module_adapter import Build, ImageTransform, Output
from vitquant.workflows.open import (
    ExportedFile,
    FloatName,
    Named,
    open_float_of,
    open_model,
    reading_for,
    resolve,
)
from vitquant.workflows.python_model import with_functions
from vitquant.workflows.results.evaluated import Evaluated
from vitquant.workflows.scoring.zero_shot import classify_by_texts

_OTHER = "; name a model after --reference to compare with another"


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

    For a model of fewer than two classes, measure how far its outputs are from those of
    ``reference``; with ``gallery``, how well its embeddings find images of the same class.

    Args:
        model: a name as on the command line, such as the path of a checkpoint or of an ONNX file
            that vitquant wrote (docs/how-to/your-model.md).
        data: labeled images: what ``--data`` takes (docs/how-to/your-images.md). Labels are not
            needed where outputs are compared with a reference.
        weights: a safetensors file of the float weights, or a folder of shards: of ``model``, or of
            the reference where ``model`` is a checkpoint.
        num_classes: the number of classes in ``weights``.
        input_size: of the float model: the side of square images in pixels, or (height, width).
        build, transform, output: of a file that holds a module which is not timm's, the functions
            that it was quantized with; of an ONNX file, ``transform`` alone.
        device: a torch device, such as ``"cuda"``. An ONNX file runs on the CPU.
        progress: a listener. By default nothing is printed.
        settings: ``reference``, ``text_model``, ``gallery``, ``min_top1``, ``batch_size`` and the
            other options of ``vitquant eval``, with ``_`` for ``-``. ``reference="float"`` is the
            float model that a checkpoint was made from.

    Returns:
        The figures.

    Raises:
        UserError: an argument cannot be used.
        CheckFailedError: top-1 is below ``min_top1``, or the error above ``max_error``.
    """
    chosen = EvaluateSettings.build(data=data, **settings)
    given = FloatOptions.build(weights, num_classes, input_size)
    named, progress = resolve(str(model)), progress or Silent()
    own = with_functions(named, build, transform, output, chosen.runtime)
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
    reading = reading_for(settings, progress)
    gallery: ImageSource | None = None
    if settings.text_model is not None:
        opened, reference, images = classify_by_texts(
            opened, reference, settings, reading, device, progress
        )
    else:
        _check_pair(opened, reference)
        _check_task(opened, settings)
        opened = opened.with_class_names(settings.classes)
        images, gallery = _images(opened, settings, reading, progress)
    for source in filter(None, (images, gallery)):
        if source.skipped:
            progress.warn(
                f"{sum(source.skipped.values())} images left out, of {len(source.skipped)} folders "
                f"that no class matches"
            )
    progress.say(f"{len(images)} images of {images.name} on {describe_device(device)}")
    if reference is not None:
        reference.to(device)
    opened.to(device)
    size = min(settings.batch_size, opened.max_batch or settings.batch_size)
    found: Evaluation | OutputEvaluation
    with threads.suited_to(opened.image_cost):
        if opened.num_classes > 1:
            found = accuracy.evaluate(opened, images, size, reference, progress, device)
        else:
            found = evaluate_outputs(opened, images, size, reference, gallery, progress, device)
    reading.report(divided=True)
    done = Evaluated(named.name, opened, reference, images.name, found, settings)
    for line in done.warnings():
        progress.warn(line)
    return done


def _images(
    model: Model, settings: EvaluateSettings, reading: Reading, progress: Progress
) -> tuple[ImageSource, ImageSource | None]:
    """The images to evaluate on, and those of a gallery."""
    space, role, gallery = model.label_space, Role.COMPARISON, None

    def opened(setting: str, role: Role) -> ImageSource:
        return open_source(
            getattr(settings, setting),
            flag=settings.naming.option(setting),
            label_space=space,
            role=role,
            ignore_unknown=settings.ignore_unknown,
            reading=reading,
            reads_text=model.reads_text,
        )

    if model.num_classes > 1:
        role = Role.EVALUATION
    elif settings.gallery is not None:
        names = FolderClasses()
        space, role = LabelSpace(0, names), Role.EVALUATION
        gallery = opened("gallery", Role.GALLERY)
        names.complete = True
        progress.say(f"a gallery of {len(gallery)} images of {gallery.name}")
    images = opened("data", role)
    if gallery is not None and (gallery.name, len(gallery)) == (images.name, len(images)):
        raise UserError(
            f"{settings.naming.option('gallery')}: {settings.gallery} are the images of "
            f"{settings.naming.option('data')}, and each would find itself; others are accepted"
        )
    return images, gallery


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


def _check_pair(model: Model, reference: Model | None) -> None:
    if reference is not None and reference.num_classes != model.num_classes:
        raise UserError(
            f"--reference: {reference.identity.name} has {reference.num_classes} classes, the "
            f"model {model.num_classes}; a model of the same classes is accepted"
        )


def _check_task(model: Model, settings: EvaluateSettings) -> None:
    """Raise a UserError where a setting does not go with what the model gives."""
    option, name, count = settings.naming.option, model.identity.name, model.num_classes
    if (count or model.reads_text) and settings.gallery is not None:
        what = "has a classifier" if count else "reads texts"
        raise UserError(
            f"{option('gallery')}: {name} {what}; it goes with a model that gives embeddings of "
            f"images; leave it out"
        )
    if count > 1:
        if settings.max_error is not None:
            raise UserError(
                f"{option('max_error')}: {name} has {count} classes; {option('min_top1')} is "
                f"accepted"
            )
        return
    what = "one output alone" if count else "no classifier"
    if settings.reference is None and settings.gallery is None:
        add = f"add {option('reference')} float or MODEL to compare its outputs"
        if not count:
            add += f", or {option('gallery')} SOURCE to score embeddings by nearest neighbors"
        raise UserError(f"MODEL: {name} has {what}, so there is no top-1; {add}")
    for setting, used in (
        ("classes", False),
        ("min_top1", settings.gallery is not None),
        ("ignore_unknown", settings.gallery is not None),
    ):
        if getattr(settings, setting) not in (None, False) and not used:
            raise UserError(f"{option(setting)}: {name} has {what}; leave it out")


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
