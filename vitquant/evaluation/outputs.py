"""Figures of models whose outputs are no logits: embeddings, tokens, maps, single numbers."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vitquant.core import distributed
from vitquant.core.errors import UserError
from vitquant.core.progress import Progress, Silent
from vitquant.data.image_source import ImageSource
from vitquant.evaluation.neighbors import RECALL_AT, Gallery, NeighborScores
from vitquant.evaluation.output_error import ErrorSums, OutputError, is_finite
from vitquant.evaluation.side_by_side import run_side_by_side
from vitquant.models.model import Model


@dataclass(frozen=True)
class OutputEvaluation:
    """The figures of a model without classes.

    Attributes:
        images: how many were compared or scored.
        images_per_second: of the model alone; decoding is not counted.
        error: against the reference; None without one.
        neighbors: of the model, with its own embeddings of the gallery; None without a gallery.
        reference_neighbors: of the reference, with its own; None without gallery or reference.
        gallery_images: how many the gallery has; None without one.
        not_finite: images for which an output of the model or of the reference is NaN or infinite.
    """

    images: int
    images_per_second: float
    error: OutputError | None = None
    neighbors: NeighborScores | None = None
    reference_neighbors: NeighborScores | None = None
    gallery_images: int | None = None
    not_finite: int = 0


@torch.inference_mode()
def evaluate_outputs(
    model: Model,
    images: ImageSource,
    batch_size: int = 64,
    reference: Model | None = None,
    gallery: ImageSource | None = None,
    progress: Progress | None = None,
    device: str = "cpu",
) -> OutputEvaluation:
    """Compare the outputs of a model with a reference's, and score both by nearest neighbors.

    With a gallery, images without a known label are left out. Several processes divide the images,
    and all of them return the result for all.

    Raises:
        UserError: an image cannot be read, none has a label that is needed, or the outputs have
            other shapes than the reference's, or than a gallery takes.
    """
    progress = progress or Silent()
    galleries: list[Gallery | None] = [None, None]
    if gallery is not None:
        galleries = [
            None if one is None else Gallery.embed(one, gallery, batch_size, progress, device)
            for one in (model, reference)
        ]
    errors, total, broken, seconds = ErrorSums(), 0, 0, 0.0
    hits = torch.zeros(2, len(RECALL_AT), dtype=torch.float64)
    for labels, found, expected, taken in run_side_by_side(
        model, images, batch_size, reference, progress, device, labeled_only=gallery is not None
    ):
        total, seconds = total + len(found), seconds + taken
        finite = is_finite(found)
        if expected is not None:
            _check_shapes(found, expected)
            finite &= is_finite(expected)
            errors.add(found, expected)
        for row, own, outputs in zip(hits, galleries, (found, expected), strict=True):
            if own is not None and outputs is not None:
                row += own.hits(outputs, labels)
        broken += int((~finite).sum())
    errors.all_reduce()
    distributed.all_reduce([hits])
    total, broken = map(int, distributed.all_reduce_scalars([total, broken]))
    seconds = float(distributed.all_reduce_max(torch.tensor(seconds, dtype=torch.float64)))
    if not total:
        raise UserError(f"--data: no image of {images.name} has a label that the gallery has")
    neighbors, reference_neighbors = (
        None if own is None else NeighborScores.of(row.tolist(), total)
        for row, own in zip(hits, galleries, strict=True)
    )
    return OutputEvaluation(
        images=total,
        images_per_second=total / seconds,
        error=None if reference is None else errors.result(),
        neighbors=neighbors,
        reference_neighbors=reference_neighbors,
        gallery_images=None if gallery is None else len(gallery),
        not_finite=broken,
    )


def _check_shapes(found: Tensor, expected: Tensor) -> None:
    if found.shape != expected.shape:
        raise UserError(
            f"--reference: its output for an image has the shape {tuple(expected.shape[1:])}, the "
            f"model's {tuple(found.shape[1:])}; a model with the same outputs is accepted"
        )
