"""Images of which the quantized model and the float model think differently."""

import torch

from vitquant.data.class_names import first_synonym
from vitquant.data.image_source import ImageSource
from vitquant.models.model import Model
from vitquant.reports.measurements.images.looking import Answers, Looked
from vitquant.reports.measurements.images.pictures import View, encode
from vitquant.reports.sections.accuracy import Answer, ChangedImage, ChangedImages

SHOWN = 12


def changed_images(
    model: Model, images: ImageSource, numbers: list[int], looked: Looked
) -> ChangedImages | None:
    """None for models without classes, or without a reference.

    numbers: of the images in their source.
    """
    own, true = looked.quantized, looked.reference
    if own is None or true is None:
        return None
    differ = (own.best[:, 0] != true.best[:, 0]) | ~own.finite | ~true.finite
    order = torch.where(differ, true.probability.nan_to_num(0.0), -1.0).argsort(
        descending=True, stable=True
    )
    count = int(differ.sum())
    view, shown = View(model), []
    for i in order[: min(SHOWN, count)].tolist():
        label = int(looked.labels[i])
        shown.append(
            ChangedImage(
                index=numbers[i],
                reference=_answer(model, true, i),
                quantized=_answer(model, own, i),
                label=class_name(model, label) if label >= 0 else None,
                picture=encode(view.image(images.image(i)), f"image {numbers[i]}"),
            )
        )
    return ChangedImages(count, len(looked.labels), tuple(shown))


def class_name(model: Model, index: int) -> str:
    """The first of a class's names; its number where it has none."""
    return str(index) if model.classes is None else first_synonym(model.classes.names[index])


def _answer(model: Model, found: Answers, i: int) -> Answer:
    return Answer(class_name(model, int(found.best[i, 0])), float(found.probability[i]))
