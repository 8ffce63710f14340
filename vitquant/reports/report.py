"""All that a report shows, as plain data: what is measured goes in, a page or JSON comes out.

A section that could not be measured is None, and ``Report.missing`` says why. Fractions are from 0
to 1. Where an output is NaN or infinite, so are errors.
"""

import math
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from vitquant.reports.sections.accuracy import Accuracy, ChangedImages, Corruptions
from vitquant.reports.sections.calibration import Calibration
from vitquant.reports.sections.errors import Activations, BlockErrors, Collapse
from vitquant.reports.sections.making import Latencies, Recipe, Training
from vitquant.reports.sections.model import ModelFacts, Size
from vitquant.reports.sections.picture import Picture


@dataclass(frozen=True)
class Report:
    """A checkpoint, as far as it was looked at.

    Attributes:
        model: what it is.
        size: its bytes by part.
        recipe: how to make it again.
        training: losses; None where there was no training, or the file holds none.
        calibration: the images that it was made with.
        accuracy: of both models on ``--data``.
        changed: images of which the two models think differently.
        blocks: errors of the features, block by block.
        collapse: where a model that has collapsed does so; None for one that has not.
        activations: against their grids.
        corruptions: the same images, damaged.
        latencies: in the installed runtimes.
        missing: by the name of a section that is None, why; a sentence without a period.
        notes: more sentences for the reader, such as warnings.
    """

    model: ModelFacts
    size: Size
    recipe: Recipe
    training: Training | None = None
    calibration: Calibration | None = None
    accuracy: Accuracy | None = None
    changed: ChangedImages | None = None
    blocks: BlockErrors | None = None
    collapse: Collapse | None = None
    activations: Activations | None = None
    corruptions: Corruptions | None = None
    latencies: Latencies | None = None
    missing: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What ``vitquant report --json`` prints: all but the pictures.

        What is NaN or infinite is null.
        """
        found: dict[str, Any] = _plain(self)
        return found


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: getattr(value, f.name) for f in fields(value)}
        return {n: _plain(v) for n, v in parts.items() if not isinstance(v, Picture)}
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
