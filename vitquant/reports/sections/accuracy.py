"""How good a quantized model is beside its float model."""

from dataclasses import dataclass

from vitquant.reports.sections.picture import Picture


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95% interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Scores:
    """Of one model. top1, top5: None without labels. not_finite: images with a NaN or infinite
    output; they count as wrong."""

    top1: Interval | None
    top5: float | None
    not_finite: int


@dataclass(frozen=True)
class Accuracy:
    """Both models on the same images.

    Attributes:
        data: the source of the images.
        images: how many there were.
        labeled: how many of these have a label; 0 where there is no accuracy.
        quantized: the checkpoint's scores.
        reference: the float model's; None without one.
        difference: quantized minus float top-1, as a fraction, from the images in pairs; None
            without labels or reference.
        only_reference_right, only_quantized_right: how many images one of the two alone has right;
            None as ``difference``.
        p_value: of McNemar's exact test that both are equally good; None as ``difference``.
        agreement: the fraction with the same top-1 prediction; None without classes or reference.
        cosine, relative_error: of the outputs with the reference's, as ``vitquant eval`` has them,
            for a model of fewer than two classes; else None.
    """

    data: str
    images: int
    labeled: int
    quantized: Scores
    reference: Scores | None
    difference: Interval | None
    only_reference_right: int | None
    only_quantized_right: int | None
    p_value: float | None
    agreement: Interval | None
    cosine: float | None
    relative_error: float | None


@dataclass(frozen=True)
class Answer:
    """A class and its probability (softmax)."""

    name: str
    probability: float


@dataclass(frozen=True)
class ChangedImage:
    """An image with two answers.

    index: its number in the source. reference, quantized: top-1 of the float model and of the
    quantized one. label: the name of its class; None where it is not known. picture: as it enters
    the models, small.
    """

    index: int
    reference: Answer
    quantized: Answer
    label: str | None
    picture: Picture | None


@dataclass(frozen=True)
class ChangedImages:
    """Images whose top-1 prediction changed.

    count: how many of ``images``. shown: those of which the float model was surest, surest first.
    """

    count: int
    images: int
    shown: tuple[ChangedImage, ...]


@dataclass(frozen=True)
class Corruption:
    """Scores under one corruption at one strength.

    Attributes:
        kind: ``blur``, ``noise``, ``jpeg`` or ``contrast``.
        strength: 1 to 3.
        setting: what that is, for people, such as ``radius 2``.
        quantized, reference: what ``Corruptions.measure`` says; reference is None where it is of
            both models at once, or without a float model.
        picture: one image, so damaged; small.
    """

    kind: str
    strength: int
    setting: str
    quantized: float
    reference: float | None
    picture: Picture | None


@dataclass(frozen=True)
class Corruptions:
    """The same images, damaged.

    Attributes:
        images: how many.
        measure: ``top1``, of each model; ``agreement``, of the two; or ``cosine``, of their
            outputs.
        clean_quantized, clean_reference: of the undamaged images.
        rows: for each kind, three strengths.
        picture: the image of the rows' pictures, undamaged.
    """

    images: int
    measure: str
    clean_quantized: float
    clean_reference: float | None
    rows: tuple[Corruption, ...]
    picture: Picture | None
