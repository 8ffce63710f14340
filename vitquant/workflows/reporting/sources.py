"""The images that a report looks at."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from vitquant.config.quantize import SYNTHESIZERS_OF_CALIB
from vitquant.config.report import ReportSettings
from vitquant.core.errors import UserError
from vitquant.core.progress import Progress
from vitquant.data.image_source import ImageSource
from vitquant.data.kept import KeptImages
from vitquant.data.loader import stratified_sample
from vitquant.data.open import Role
from vitquant.data.reading import Reading
from vitquant.data.sources.noise import NoiseSource
from vitquant.data.sources.stream import StreamSource
from vitquant.data.texts import template_texts
from vitquant.models.model import Model
from vitquant.reports.measurements.images.changed import class_name
from vitquant.workflows.open import images_for

_DIGITS, _NOISE, _TEMPLATE = "digits", "noise", "template"


@dataclass(frozen=True)
class Shown:
    """Images for both models. numbers: of them in the source. labeled: whether labels are outputs
    of the model."""

    images: ImageSource
    numbers: list[int]
    labeled: bool


def open_data(
    model: Model, settings: ReportSettings, reading: Reading
) -> tuple[ImageSource, bool] | None:
    """The images of ``--data``, not decoded yet, and whether their labels are outputs; None without
    any.

    Raises:
        UserError: there are none, or their classes are not those of the model.
    """
    if settings.data is None:
        return None
    source, flag = settings.data, settings.naming.option("data")

    def opened(role: Role, reading: Reading) -> ImageSource:
        return images_for(
            model,
            source,
            flag,
            role,
            ignore_unknown=settings.ignore_unknown,
            limit=settings.images,
            reading=reading,
        )

    if model.num_classes < 2:
        return opened(Role.COMPARISON, reading), False
    if os.path.exists(source):
        # Which warns of what the one below warns of.
        found = opened(Role.COMPARISON, replace(reading, warn=lambda message: None))
        if found.labels is None:
            return opened(Role.COMPARISON, reading), False
    return opened(Role.EVALUATION, reading), True


def choose(images: ImageSource, labeled: bool, count: int, progress: Progress) -> Shown:
    """At most ``count`` of them, spread over their classes, in memory as far as it goes.

    Raises UserError for an image that cannot be read.
    """
    # A stream knows no label ahead, and goes in one direction.
    if isinstance(images, StreamSource):
        numbers = list(range(min(count, len(images))))
    else:
        numbers = stratified_sample(images, count, seed=0)
    track = progress.track(numbers, len(numbers), "reading images")
    return Shown(KeptImages(images, track, labeled=labeled), numbers, labeled)


def open_calibration(
    model: Model, stored: dict[str, object], settings: ReportSettings, reading: Reading
) -> tuple[ImageSource | None, Callable[[int], str]]:
    """The calibration images and what their labels are called; None where they are not at hand.

    stored: the settings of the checkpoint.

    Raises:
        UserError: ``--calib`` names none.
    """
    flag, calib = settings.naming.option("calib"), settings.calib
    source = calib or str(stored.get("calib"))
    limit = int(str(stored.get("samples", 1)))

    def opened(role: Role) -> ImageSource:
        return images_for(
            model, source, flag, role, ignore_unknown=True, limit=limit, reading=reading
        )

    if source == _NOISE:
        seed = int(str(stored.get("seed", 0)))
        return NoiseSource(limit, model.image_size, seed), str
    if calib is None and model.reads_text and source in ("synthetic", _TEMPLATE):
        return template_texts(source, limit, int(str(stored.get("seed", 0)))), str
    here = source == _DIGITS or (source not in SYNTHESIZERS_OF_CALIB and os.path.exists(source))
    if calib is None and not here:
        return None, str
    try:
        found = opened(Role.CALIBRATION)
    except UserError:
        if calib is not None:
            raise
        return None, str  # something else is there by now
    if calib is None and len(found) < limit:
        return None, str  # likewise: "images" is also what a list of images is called
    return found, _names(model, found, opened)


def _names(
    model: Model, found: ImageSource, opened: Callable[[Role], ImageSource]
) -> Callable[[int], str]:
    """What the labels of calibration images are called: they number folders, not outputs."""
    if found.labels is None or model.num_classes < 2:
        return str
    try:
        matched = opened(Role.GALLERY)  # the same part of a data set, with outputs as labels
    except UserError:
        return str
    if matched.labels is None or len(matched) != len(found) or matched.skipped:
        return str
    outputs = dict(zip(found.labels, matched.labels, strict=True))
    return lambda label: class_name(model, outputs[label])


def page_for(name: str, out: Path | None, local: Path | None) -> Path:
    """Where the page goes: by default beside a local file, else in the current folder."""
    if out is not None:
        return out
    beside = local if local is not None else Path(name.split("/")[-1])
    return beside.with_name(f"{beside.name.removesuffix('.safetensors')}.html")
