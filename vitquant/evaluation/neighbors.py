"""Classification by the nearest images of a gallery, for models that give embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vitquant.core import distributed
from vitquant.core.errors import UserError
from vitquant.core.progress import Progress
from vitquant.data.image_source import ImageSource
from vitquant.data.loader import load_batches
from vitquant.models.model import Model

RECALL_AT = (1, 5, 10)
"""The numbers of neighbors that recall is reported for."""
_VECTOR, _TOKENS = 2, 3


@dataclass(frozen=True)
class NeighborScores:
    """How well a model's embeddings find images of the same class, as fractions from 0 to 1.

    Attributes:
        top1: the nearest gallery image is of the image's class.
        recall_at_k: by k, one of the k nearest gallery images is of the image's class.
    """

    top1: float
    recall_at_k: dict[int, float]

    @classmethod
    def of(cls, hits: Sequence[float], images: int) -> "NeighborScores":
        """hits: from :meth:`Gallery.hits`, added up over the images."""
        recall = {k: count / images for k, count in zip(RECALL_AT, hits, strict=True)}
        return cls(recall[1], recall)


class Gallery:
    """Images whose class is known, as a model embeds them.

    vectors: (N, D) of unit length; NaN for an image whose embedding is not finite. labels: (N,).
    """

    def __init__(self, vectors: Tensor, labels: Tensor) -> None:
        self._vectors, self._labels = vectors, labels

    @classmethod
    def embed(
        cls, model: Model, images: ImageSource, batch_size: int, progress: Progress, device: str
    ) -> "Gallery":
        """Several processes divide the images, and each has all of the result. A collective.

        Raises:
            UserError: an image cannot be read, none has a label, or the model's outputs are no
                vectors.
        """
        batch_size = min(batch_size, model.max_batch or batch_size)
        own = distributed.rank_slice(len(images), batch_size)
        # Processes without an image take part with no rows of the same width.
        loaded = load_batches(images, own or range(1), model.transform(), batch_size)
        vectors, labels = [], []
        for batch, of in progress.track(loaded, -(-len(own) // batch_size), "embedding gallery"):
            used = (of >= 0) & bool(own)
            vectors.append(embedding(model(batch.to(device)))[used])
            labels.append(of[used])
        gallery = cls(*(distributed.all_gather(torch.cat(rows)) for rows in (vectors, labels)))
        if not len(gallery._labels):
            raise UserError(f"--gallery: no image of {images.name} has a label; one is needed")
        return gallery

    def hits(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """(len(RECALL_AT),): for how many images one of the k nearest is of their class.

        outputs: (B, D) or (B, N, D). labels: (B,).
        """
        similarity = embedding(outputs) @ self._vectors.T
        # NaN would come first.
        similarity = similarity.where(similarity.isfinite(), -torch.inf)
        nearest = similarity.topk(min(RECALL_AT[-1], len(self._labels)))
        same = self._labels[nearest.indices] == labels.cpu()[:, None]
        found = (same & nearest.values.isfinite()).cumsum(1).clamp_max(1)
        return torch.stack([found[:, min(k, found.shape[1]) - 1].sum() for k in RECALL_AT])


def embedding(outputs: Tensor) -> Tensor:
    """(B, D) float32 on the CPU, of unit length: outputs (B, D), or (B, N, D) averaged over N.

    Raises:
        UserError: the outputs are of another shape.
    """
    if outputs.dim() not in (_VECTOR, _TOKENS):
        raise UserError(
            f"--gallery: the model's output for an image has the shape "
            f"{tuple(outputs.shape[1:])}; a vector, or one for each token, is accepted"
        )
    outputs = outputs.cpu().double()
    pooled = outputs.mean(1) if outputs.dim() == _TOKENS else outputs
    # Infinity would become NaN in some elements and 0 in the others.
    pooled = pooled.where(pooled.isfinite().all(1, keepdim=True), torch.nan)
    return F.normalize(pooled, dim=1).float()
