"""The images that a checkpoint was calibrated or trained with."""

from dataclasses import dataclass

from vitquant.reports.sections.picture import Picture


@dataclass(frozen=True)
class ClassCount:
    """A class, by its name, and how many images of it were used."""

    name: str
    images: int


@dataclass(frozen=True)
class Calibration:
    """Calibration images.

    Attributes:
        source: as the checkpoint names it.
        samples: how many the checkpoint says were used.
        looked_at: the source whose images are described here; None where it is not at hand.
        found: how many images of it were chosen, as ``quantize`` chooses them.
        of_classes: how many classes the model has; 0 without a classifier.
        counts: for each class seen, most images first; empty where labels are not known.
        sheet: some of the images, small, in one picture.
    """

    source: str
    samples: int
    looked_at: str | None
    found: int
    of_classes: int
    counts: tuple[ClassCount, ...]
    sheet: Picture | None
