"""Accuracy of both models on the same images, with what chance leaves open."""

import math

from torch import Tensor

from vitquant.evaluation.output_error import OutputError
from vitquant.reports.measurements.images.looking import Answers, Looked
from vitquant.reports.sections.accuracy import Accuracy, Interval, Scores

_Z = 1.959964
"""Of a 95% interval."""


def accuracy(data: str, looked: Looked) -> Accuracy:
    """data: the source of the images."""
    labels = looked.labels
    labeled = labels >= 0
    own, true = looked.quantized, looked.reference
    count = int(labeled.sum()) if own is not None else 0
    pairs = None
    if count and own is not None and true is not None:
        pairs = _hits(own, labels)[labeled], _hits(true, labels)[labeled]
    alone = None if pairs is None else _alone(*pairs)
    same = None
    if own is not None and true is not None:
        agreed = (own.best[:, 0] == true.best[:, 0]) & own.finite & true.finite
        same = wilson(int(agreed.sum()), len(labels))
    error: OutputError | None = None if looked.errors is None else looked.errors.result()
    return Accuracy(
        data=data,
        images=len(labels),
        labeled=count,
        quantized=_scores(own, labels, labeled, looked.broken[0]),
        reference=None
        if not _has_reference(looked)
        else _scores(true, labels, labeled, looked.broken[1]),
        difference=None if alone is None else paired(*alone, count),
        only_reference_right=None if alone is None else alone[1],
        only_quantized_right=None if alone is None else alone[0],
        p_value=None if alone is None else mcnemar(*alone),
        agreement=same,
        cosine=None if error is None else error.cosine,
        relative_error=None if error is None else error.relative_error,
    )


def wilson(hits: int, count: int) -> Interval:
    """A fraction with its interval (Wilson, 1927), which stays inside 0 to 1."""
    share, z = hits / count, _Z**2 / count
    middle = (share + z / 2) / (1 + z)
    half = _Z / (1 + z) * math.sqrt(share * (1 - share) / count + z / (4 * count))
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def paired(more: int, fewer: int, count: int) -> Interval:
    """The difference of two fractions of the same ``count`` images, and its interval.

    more, fewer: images that the first alone, and the second alone, has right. The interval is that
    of Bonett and Price (2012), which has a width where no image differs.
    """
    a, b = (more + 1) / (count + 2), (fewer + 1) / (count + 2)
    half = _Z * math.sqrt((a + b - (a - b) ** 2) / (count + 2))
    return Interval((more - fewer) / count, max(-1.0, a - b - half), min(1.0, a - b + half))


def mcnemar(more: int, fewer: int) -> float:
    """The two-sided p-value of McNemar's exact test: of so uneven a split of the images that one
    model alone has right, were both equally good."""
    count = more + fewer
    ways = sum(math.comb(count, i) for i in range(min(more, fewer) + 1))
    return min(1.0, 2 * ways / 2**count)


def _hits(answers: Answers, labels: Tensor) -> Tensor:
    return (answers.best[:, 0] == labels) & answers.finite


def _alone(own: Tensor, true: Tensor) -> tuple[int, int]:
    return int((own & ~true).sum()), int((true & ~own).sum())


def _has_reference(looked: Looked) -> bool:
    return looked.reference is not None or looked.errors is not None


def _scores(answers: Answers | None, labels: Tensor, labeled: Tensor, broken: int) -> Scores:
    count = int(labeled.sum())
    if answers is None or not count:
        return Scores(None, None, broken)
    among = (answers.best == labels[:, None]).any(1) & answers.finite
    return Scores(
        wilson(int(_hits(answers, labels)[labeled].sum()), count),
        int(among[labeled].sum()) / count,
        broken,
    )
