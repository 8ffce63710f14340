"""Quantize a model by its name: behind ``vitquant quantize`` and ``vitquant.quantize``."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from vitquant.config.quantize import QuantizeSettings
from vitquant.config.recipe import read_recipe
from vitquant.core import distributed
from vitquant.core.device import describe_device
from vitquant.core.errors import Interrupted
from vitquant.core.files import check_writable, remove_leftovers
from vitquant.core.progress import Progress, Silent
from vitquant.data.image_source import ImageSource
from vitquant.data.reading import Reading
from vitquant.models.float_options import FloatOptions, InputSize
from vitquant.models.model import Model
from vitquant.models.module_adapter import Build, Output
from vitquant.models.sources import load_float
from vitquant.models.sources.from_module import Transform, image_mode
from vitquant.quantization.methods.base import get_method
from vitquant.quantization.training.state import TrainingState
from vitquant.workflows import ptq
from vitquant.workflows.calibration_images import (
    Confirm,
    Images,
    calibration_images,
    given_images,
    go_on,
    name_of,
)
from vitquant.workflows.inputs import inputs_of
from vitquant.workflows.open import as_file_name, check_is_float, reading_for
from vitquant.workflows.ptq import Quantized, check_supports_resume
from vitquant.workflows.python_model import GivenModel
from vitquant.workflows.results.quantized_file import QuantizedFile


def quantize(
    model: str | nn.Module,
    bits: str | None = None,
    calib: Images | None = None,
    *,
    recipe: str | Path | None = None,
    weights: str | Path | None = None,
    num_classes: int | None = None,
    input_size: InputSize | Sequence[int] | None = None,
    arguments: dict[str, Any] | None = None,
    transform: Transform | None = None,
    build: Build | None = None,
    output: Output | None = None,
    classes: str | Path | Sequence[str] | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
    state: str | Path | None = None,
    **settings: Any,
) -> Quantized:
    """Quantize a float model. A module that is passed in stays as it is.

    Args:
        model: a name as on the command line (docs/how-to/your-model.md), a module that
            ``timm.create_model`` returned, or any module (docs/how-to/any-module.md). Of a module,
            the hash of its weights is stored and no tag, as they may have changed since loading.
        bits: of weights and activations, such as ``"w4a4"``. Needed unless ``recipe`` has them.
        calib: calibration images: what ``--calib`` takes (docs/how-to/your-images.md), a list of
            PIL images, or an :class:`ImageSource`; by default ``"synthetic"``. What has to be
            generated is generated without asking, and kept in the cache. A text tower takes texts.
        recipe: a TOML file of settings, or the name of a bundled one. Keywords win.
        weights: with a name, a safetensors file of the float weights, or a folder of shards.
        num_classes: with a name, the number of classes in ``weights``; 0 leaves the classifier out.
        input_size: with a name, the side of square images in pixels, or (height, width). With any
            module, (C, H, W) of what ``transform`` gives, if an example image does not show it.
        arguments: with a module, the arguments that ``timm.create_model`` was given. They are
            needed only where timm has not kept them. The network is built again from them.
        transform: with any module, what images go through: a function from a PIL image to a float
            tensor (C, H, W), or a dictionary of arguments of ``timm.data.create_transform``.
        build: with any module, a function without arguments that builds the network again. A result
            without it cannot be saved.
        output: with any module, a function that picks a tensor of what it returns; by default all.
        classes: a text file with a class name a line, for a model whose classes have no names; with
            any module, a list of the names of its outputs, if these are logits.
        device: a torch device, such as ``"cuda"``.
        progress: a listener. By default nothing is printed.
        state: with ``method="joint"``, a file that keeps the state of training. A run that was
            interrupted resumes from it. Remove it once the result is saved.
        settings: ``method``, ``samples``, ``steps``, ``batch_size``, ``seed`` and the other options
            of ``vitquant quantize``, with ``_`` for ``-``.

    Returns:
        The quantized model, with a report of the run.

    Raises:
        UserError: an argument cannot be used, or the model cannot be quantized.
        CheckFailedError: training diverged.
    """
    found = None if recipe is None else read_recipe(recipe, "recipe")
    file, names = (str(classes), None) if isinstance(classes, str | Path) else (None, classes)
    asked: dict[str, Any] = {"bits": bits, "calib": name_of(calib), "classes": file}
    chosen = QuantizeSettings.build(found, **asked, **settings)
    listener = progress or Silent()
    reading = reading_for(chosen, listener)
    own = given_images(calib, reading, image_mode(transform, calib))
    given = GivenModel(
        model, weights, num_classes, input_size, arguments, transform, build, output, names
    )
    opened = given.open(own).with_class_names(chosen.classes)
    images: ImageSource | Callable[[], ImageSource]
    images = _images(opened, chosen, reading, device, listener) if own is None else own
    kept = None if state is None else TrainingState(Path(state), None)
    return ptq.quantize(opened, images, chosen, progress, device, kept, reading)


def quantize_to_file(
    name: str,
    settings: QuantizeSettings,
    out: Path | None,
    given: FloatOptions,
    *,
    resume: bool = False,
    save_every: int | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
    confirm: Confirm = go_on,
) -> QuantizedFile | None:
    """Quantize a model and write a checkpoint; None in all processes but the main one.

    Args:
        out: the file; by default MODEL-BITS.safetensors in the current folder, with the budget in
            place of bits.
        resume: keep the state of training beside ``out``, and resume from it if it is there.
        save_every: steps from one writing of the state to the next.
        confirm: see :mod:`vitquant.workflows.calibration_images`.

    Raises:
        Interrupted: with Ctrl-C, where a run can resume. Others as :func:`quantize`.
    """
    check_is_float(name)
    path = out or Path(f"{as_file_name(name)}-{_wanted(settings)}.safetensors")
    if distributed.is_main():
        inputs = inputs_of(settings, name, given.weights)
        check_writable(path, settings.naming.option("out"), inputs)
    state = _state(path, settings.method, save_every) if resume else None
    progress = progress or Silent()
    opened = load_float(name, *given).with_class_names(settings.classes)
    reading = reading_for(settings, progress)
    images = _images(opened, settings, reading, device, progress, confirm)
    try:
        quantized = ptq.quantize(opened, images, settings, progress, device, state, reading)
        size = quantized.save(path) if distributed.is_main() else 0
    except KeyboardInterrupt:
        if state is None or not state.path.exists():
            raise
        raise Interrupted(
            f"interrupted; {path} was not written; the same command goes on from {state.path}"
        ) from None
    if state is not None:
        state.remove()
    if not distributed.is_main():
        return None
    return QuantizedFile(path, size, quantized, settings, device)


def _images(
    model: Model,
    settings: QuantizeSettings,
    reading: Reading,
    device: str,
    progress: Progress,
    confirm: Confirm = go_on,
) -> Callable[[], ImageSource]:
    """What makes or opens calibration images, and says what is about to be done with them."""

    def images() -> ImageSource:
        found = calibration_images(settings, model, reading, device, progress, confirm)
        seen = len({label for label in found.labels or () if label >= 0})
        if seen and seen < model.num_classes / 2:
            progress.warn(
                f"--calib shows {seen} of {model.num_classes} classes: accuracy on those will be "
                f"flattered, on the others it will not"
            )
        _announce(model, found, settings, device, progress)
        return found

    return images


def _announce(
    model: Model, images: ImageSource, settings: QuantizeSettings, device: str, progress: Progress
) -> None:
    own = f", class tokens a{settings.prefix_bits}" if settings.prefix_bits else ""
    own += ", others by name" if settings.layer_bits else ""
    own = f" (patch embedding {settings.patch_embed_bits}, head {settings.head_bits}{own})"
    what, own = ("texts", "") if model.reads_text else ("images", own)
    method = get_method(settings.method)
    count = min(ptq.most_samples(settings), len(images))
    to = f"{settings.bits}{own}"
    if settings.has_budget:
        to = f"bits of {settings.choices} under a budget"
    progress.say(
        f"{model.identity.name} to {to} by {settings.method} on "
        f"{describe_device(device)}, {count} {what} of {images.name}"
    )
    if method.is_trained:
        steps = f"{settings.steps} steps of {settings.batch_size} {what}"
        progress.say(f"{steps}; the time left is shown once the first steps are done")


def _wanted(settings: QuantizeSettings) -> str:
    """The bits, or the budget, as part of a file's name."""
    if settings.max_size is not None:
        return str(settings.max_size)
    if settings.min_agreement is not None:
        return f"agreement{settings.min_agreement:g}"
    return str(settings.bits)


def _state(path: Path, method: str, every: int | None) -> TrainingState:
    """The file beside the checkpoint that a run goes on from."""
    check_supports_resume(get_method(method))
    state = TrainingState(path.with_name(f".{path.name}.state"), every)
    if distributed.is_main():
        for file in (path, state.path):
            remove_leftovers(file)
    return state
