"""The images that a checkpoint was calibrated with, as far as they are at hand."""

from collections import Counter
from collections.abc import Callable, Sequence

from vitquant.data.image_source import ImageSource
from vitquant.data.loader import stratified_sample
from vitquant.reports.measurements.images.pictures import encode
from vitquant.reports.measurements.subject import Subject
from vitquant.reports.sections.calibration import Calibration, ClassCount
from vitquant.reports.sections.picture import Picture
from vitquant.synthesis.contact_sheet import Cell, Line, draw_sheet

_ROWS, _COLUMNS = 8, 10
# With fewer images of a class, a line for each says little.
_FEW = 3


def calibration(
    subject: Subject, images: ImageSource | None, name_of: Callable[[int], str]
) -> Calibration:
    """Describe the images of a source that ``quantize`` would choose, or else the settings alone.

    images: opened as calibration images. name_of: what a label of theirs is called.

    Raises UserError for an image that cannot be read.
    """
    settings, model = subject.header.settings, subject.model
    source, samples = str(settings.get("calib")), int(settings.get("samples", 0))
    if images is None:
        return Calibration(source, samples, None, 0, model.num_classes, (), None)
    chosen = stratified_sample(images, samples, settings.get("seed", 0))
    labels = [-1 if images.labels is None else images.labels[i] for i in chosen]
    counted = Counter(label for label in labels if label >= 0).most_common()
    sheet = None if model.reads_text else _sheet(images, chosen, labels, name_of)
    return Calibration(
        source,
        samples,
        images.name,
        len(chosen),
        model.num_classes,
        tuple(ClassCount(name_of(label), count) for label, count in counted),
        sheet,
    )


def _sheet(
    images: ImageSource,
    chosen: Sequence[int],
    labels: Sequence[int],
    name_of: Callable[[int], str],
) -> Picture:
    classes = [label for label in dict.fromkeys(labels) if label >= 0]
    if classes and len(chosen) >= _FEW * len(classes):
        lines = [
            Line(name_of(label), _cells(images, [i for i, own in pairs if own == label]))
            for label in sorted(classes)[:_ROWS]
            for pairs in [list(zip(chosen, labels, strict=True))]
        ]
    else:
        rows = [chosen[i * _COLUMNS : (i + 1) * _COLUMNS] for i in range(_ROWS)]
        lines = [Line("", _cells(images, row)) for row in rows if row]
    return encode(draw_sheet(lines), "calibration images", None)


def _cells(images: ImageSource, numbers: Sequence[int]) -> list[Cell]:
    return [Cell(images.image(i).convert("RGB")) for i in numbers[:_COLUMNS]]
