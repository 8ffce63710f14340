"""The sections of a report, measured one after the other; what is missing says why."""

from collections.abc import Callable
from typing import Any

from vitquant.config.report import ReportSettings
from vitquant.core import threads
from vitquant.core.errors import UserError, first_line
from vitquant.core.progress import Progress
from vitquant.data.image_source import ImageSource
from vitquant.data.loader import load_batches
from vitquant.evaluation.agreement import Fidelity, least_agreement
from vitquant.reports.measurements import latency
from vitquant.reports.measurements.calibration import calibration
from vitquant.reports.measurements.facts import model_facts, size_by_part
from vitquant.reports.measurements.images import corruptions
from vitquant.reports.measurements.images.accuracy import accuracy
from vitquant.reports.measurements.images.changed import changed_images
from vitquant.reports.measurements.images.looking import FeatureListener, look
from vitquant.reports.measurements.making import recipe, training
from vitquant.reports.measurements.subject import Subject
from vitquant.reports.measurements.tensors.activations import ActivationSums
from vitquant.reports.measurements.tensors.block_errors import FeatureSums
from vitquant.reports.measurements.tensors.collapse import find_collapse
from vitquant.reports.report import Report
from vitquant.reports.sections.accuracy import Accuracy
from vitquant.workflows.reporting.sources import Shown

# Images whose features and activations are looked at: enough for two digits of an error.
_DETAILED = 32
_REPEATS = 30
_NEEDS_DATA = "--data SOURCE adds it"
_NEEDS_FLOAT = "it takes the float model to compare with"
_OF_IMAGES = ("accuracy", "changed", "blocks", "collapse", "activations", "corruptions")


def measured(
    subject: Subject,
    file: str,
    shown: Shown | None,
    calib: tuple[ImageSource | None, Callable[[int], str]],
    settings: ReportSettings,
    device: str,
    progress: Progress,
) -> Report:
    """The whole report.

    Args:
        file: the checkpoint as given.
        shown: the images of ``--data``; None without any.
        calib: calibration images, and what their labels are called.

    Raises:
        UserError: an image cannot be read.
    """
    missing: dict[str, str] = {}
    sections: dict[str, Any] = {"training": training(subject)}
    if sections["training"] is None:
        missing["training"] = _no_losses(subject)
    sections["calibration"] = calibration(subject, *calib)
    if shown is None:
        missing |= dict.fromkeys(_OF_IMAGES, _NEEDS_DATA)
    else:
        with threads.suited_to(subject.model.image_cost):
            found, why = _of_images(subject, shown, settings, device, progress)
        sections, missing = sections | found, missing | why
    sections["latencies"], why_not = _latencies(subject, settings, progress)
    if why_not is not None:
        missing["latencies"] = why_not
    return Report(
        model=model_facts(subject, file),
        size=size_by_part(subject),
        recipe=recipe(subject),
        missing=missing,
        notes=tuple(_notes(subject, shown)),
        **sections,
    )


def _of_images(
    subject: Subject, shown: Shown, settings: ReportSettings, device: str, progress: Progress
) -> tuple[dict[str, Any], dict[str, str]]:
    model, images = subject.model, shown.images
    for one in filter(None, (model, subject.reference)):
        one.to(device)
    features, activations = FeatureSums(len(subject.blocks)), ActivationSums()
    size = min(settings.batch_size, model.max_batch or settings.batch_size)
    listener = FeatureListener(_DETAILED, features.add, activations)
    looked = look(subject, images, size, listener, progress, device)
    seen = min(len(images), -(-_DETAILED // size) * size)
    found: dict[str, Any] = {
        "accuracy": accuracy(images.name, looked),
        "changed": changed_images(model, images, shown.numbers, looked),
        "blocks": features.result(subject.blocks),
        "activations": activations.result(subject, seen),
        "collapse": None,
        "corruptions": None,
    }
    missing = _why_not(subject, found)
    fidelity = _fidelity(subject, found["accuracy"])
    if fidelity is not None and fidelity.collapsed:
        first = range(min(len(images), _DETAILED))
        batch, _ = next(load_batches(images, first, model.transform(), _DETAILED))
        found["collapse"] = find_collapse(subject, batch.to(device), fidelity, progress)
        missing["collapse"] = "the model has collapsed, and its features cannot be compared"
    elif fidelity is not None:
        missing["collapse"] = "the model has not collapsed"
    why = corruptions.what_is_missing(subject, shown.labeled)
    if not settings.corruption_images:
        why = f"{settings.naming.option('corruption_images')} 0 left it out"
    if why is None:
        found["corruptions"] = corruptions.corruptions(
            subject, images, settings.corruption_images, size, progress, device
        )
    else:
        missing["corruptions"] = why
    return found, {name: why for name, why in missing.items() if found[name] is None}


def _why_not(subject: Subject, found: dict[str, Any]) -> dict[str, str]:
    """Why sections that compare with the float model may be None."""
    without = subject.reference is None
    blocks = "the network has no transformer blocks"
    if not subject.same_basis:
        blocks = "the rotation of the residual stream does not come out the same here"
    return {
        "changed": _NEEDS_FLOAT if without else "the model has no classes",
        "blocks": _NEEDS_FLOAT if without else blocks,
        "collapse": _NEEDS_FLOAT,
        "activations": "no activation is quantized",
    }


def _fidelity(subject: Subject, found: Accuracy) -> Fidelity | None:
    """The figures that tell a collapse; None without a reference."""
    if subject.reference is None:
        return None
    floor = least_agreement(subject.model.num_classes)
    agreement = None if found.agreement is None else found.agreement.estimate
    return Fidelity(found.images, agreement, found.cosine, floor, found.relative_error)


def _latencies(
    subject: Subject, settings: ReportSettings, progress: Progress
) -> tuple[Any, str | None]:
    if not settings.latency:
        return None, f"{settings.naming.choice('latency', False, False)} left it out"
    if (why := latency.what_is_missing(subject)) is not None:
        return None, why
    subject.model.to("cpu")
    try:
        return latency.latencies(subject, _REPEATS, progress), None
    except UserError as error:
        progress.warn(f"no latency: {error}")
        return None, first_line(error)


def _no_losses(subject: Subject) -> str:
    method = subject.header.settings.get("method")
    if subject.header.settings.get("steps"):
        return "the checkpoint holds no losses; those that this vitquant trains do"
    return f"{method} does not train"


def _notes(subject: Subject, shown: Shown | None) -> list[str]:
    notes = []
    if shown is None:
        notes.append(
            "Without images this report has no accuracy, no images whose answer changed, no errors "
            "block by block, no activations against their grids, and no corruptions; --data SOURCE "
            "adds them."
        )
    elif not shown.labeled and subject.model.num_classes > 1:
        notes.append("The images have no labels: agreement with the float model is shown.")
    return notes
