"""Post-training quantization of a model that is open, with images and settings at hand."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn

from vitquant.checkpoint import history
from vitquant.checkpoint.header import Header, layer_records
from vitquant.checkpoint.write import write_checkpoint
from vitquant.config.quantize import QuantizeSettings
from vitquant.core import distributed, threads
from vitquant.core.errors import UserError
from vitquant.core.progress import Progress, Silent
from vitquant.data.image_source import ImageSource
from vitquant.data.kept import KeptImages
from vitquant.data.loader import stratified_sample
from vitquant.data.reading import Reading
from vitquant.evaluation.agreement import Fidelity, compare
from vitquant.models.model import Model
from vitquant.quantization.methods.base import METHODS, Method, get_method
from vitquant.quantization.ptq.bit_assignment import assign_bits
from vitquant.quantization.ptq.context import PTQContext, load_init_images
from vitquant.quantization.ptq.convert import convert
from vitquant.quantization.ptq.select import select_points
from vitquant.quantization.training.state import TrainingState, run_fingerprint
from vitquant.workflows.allocation.budget import AGREEMENT_IMAGES, allocate_bits
from vitquant.workflows.results.header import header_of


@dataclass
class Quantized:
    """A quantized model, what its checkpoint says of it, and how the run went.

    Attributes:
        model: the network with its identity, preprocessing and class names.
        header: what the checkpoint says of itself (docs/reference/checkpoint.md).
        samples: how many calibration images were used.
        seconds: what the run took, from the moment when there were calibration images.
        fidelity: how far the network agrees with the float one on 256 of these at most.
        history: the losses, a dictionary for each training step; empty without training. The keys
            are ``step``, ``loss``, ``features``, ``logits``; with ``block`` ``step``, ``block``
            (its name), ``loss``.
    """

    model: Model
    header: Header
    samples: int
    seconds: float
    fidelity: Fidelity
    history: list[dict[str, float | str]] = field(default_factory=list)

    @property
    def module(self) -> nn.Module:
        """The quantized network, as :func:`load` returns it."""
        return self.model.module

    def save(self, path: Path | str) -> int:
        """Write the checkpoint. Returns its size in bytes. Raises UserError if it cannot.

        A module that is not timm's needs the ``build`` function of :func:`quantize`.
        """
        self.model.adapter.check_can_be_saved()
        return write_checkpoint(Path(path), self.model.module, self.header)


def quantize(
    model: Model,
    images: ImageSource | Callable[[], ImageSource],
    settings: QuantizeSettings,
    progress: Progress | None = None,
    device: str = "cpu",
    state: TrainingState | None = None,
    reading: Reading | None = None,
) -> Quantized:
    """Quantize a float model; the model itself is left as it was.

    Where several processes are connected, all of them call this with the same
    arguments but for the device, and each returns the whole result.

    Args:
        model: from :func:`vitquant.workflows.open.open_model`.
        images: calibration images; labels are used only to spread the sample over the classes. Or
            what makes them, which can take hours: it is called once the model and the settings are
            known to go together.
        state: a file to go on from after an interruption; to be removed once the result is safe.
        reading: how ``images`` are read; it reports once they have been.

    Raises:
        UserError: part of the model cannot be quantized (and ``allow_float`` is off), or an image
            or the state cannot be read, or the method cannot be divided, or not resumed.
        CheckFailedError: training diverged.
    """
    method = get_method(settings.method)
    _check_processes(method, settings)
    if state is not None:
        check_supports_resume(method)
    progress = progress if progress is not None and distributed.is_main() else Silent()
    samples = most_samples(settings)
    context = make_context(model, images, settings, samples, progress, device, reading)
    model, chosen, allocation = context.model, context.images, None
    if settings.has_budget:
        with threads.suited_to(model.image_cost):
            context, allocation = allocate_bits(context)
    settings = context.settings
    if state is not None:
        state.check(run_fingerprint(model, chosen, settings))
        context.resume, context.save_every = state.path, state.every
    with threads.suited_to(model.image_cost):
        student = method.run(context)
        layers = layer_records(student, convert(student, model.module))
        header = header_of(context, student, layers)
        if allocation is not None:
            header.settings["allocation"] = allocation.to_json()
        if context.history:
            header.settings[history.KEY] = history.thin(context.history)
        student.eval().requires_grad_(False)
        result = replace(model, module=student)
        fidelity = compare(result, model, chosen, device)
    seconds = time.monotonic() - context.start
    return Quantized(result, header, len(chosen), seconds, fidelity, context.history)


def most_samples(settings: QuantizeSettings) -> int:
    """How many calibration images a run uses at most: its method, and the choice of bits."""
    samples = get_method(settings.method).samples(settings)
    if not settings.has_budget:
        return samples
    wanted = settings.sensitivity_images if settings.min_agreement is None else AGREEMENT_IMAGES
    return max(samples, min(wanted, settings.samples))


def make_context(
    model: Model,
    images: ImageSource | Callable[[], ImageSource],
    settings: QuantizeSettings,
    samples: int,
    progress: Progress,
    device: str,
    reading: Reading | None = None,
) -> PTQContext:
    """What a method works on: a copy of the model, what of it is quantized, and images in memory.

    samples: how many images at most. Other arguments and errors as of :func:`quantize`.
    """
    model, points = select_points(model, settings, device, progress)
    label = settings.naming.option("layer_bits")
    bits = assign_bits(settings.assignment, model.classifier_names, points, label)
    images = images() if callable(images) else images
    _seed(settings.seed)  # Making images has used up random numbers, unless they were kept.
    indices = stratified_sample(images, samples, settings.seed)
    # In memory as far as it goes: every one is looked at many times.
    track = progress.track(indices, len(indices), "reading calibration images")
    chosen = KeptImages(images, track)
    (reading or Reading()).report()
    return PTQContext(
        model,
        points,
        bits,
        chosen,
        load_init_images(model, chosen, settings, torch.device(device)),
        settings,
        progress,
        torch.device(device),
    )


def check_supports_resume(method: Method) -> None:
    """Raise a UserError if the method cannot go on from a saved state."""
    if not method.supports_resume:
        others = ", ".join(m.name for m in METHODS.values() if m.supports_resume)
        raise UserError(f"--resume: method {method.name} keeps no state; accepted with: {others}")


def _check_processes(method: Method, settings: QuantizeSettings) -> None:
    count = distributed.world_size()
    if count > 1 and not method.supports_distributed:
        others = ", ".join(m.name for m in METHODS.values() if m.supports_distributed)
        raise UserError(
            f"--method: {method.name} works in one process, not in {count}; accepted in several: "
            f"{others}"
        )
    if method.is_trained and settings.batch_size < count:
        raise UserError(
            f"--batch-size: {settings.batch_size} cannot be divided between {count} processes; "
            f"{count} or more"
        )


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)
