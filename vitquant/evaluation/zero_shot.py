"""Zero-shot classifiers: an image tower, and the embedding of a text for each class.

As in Radford et al., arXiv 2103.00020, the logits are cosines. The temperature that CLIP multiplies
them with changes no prediction, and is left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitquant.data.class_names import ClassNames
from vitquant.data.image_source import ListSource
from vitquant.data.loader import load_batches
from vitquant.models.adapter import ModelAdapter
from vitquant.models.model import Model


class ZeroShotAdapter(ModelAdapter):
    """Asks an image tower through its own adapter. embeddings: (classes, D), of length 1."""

    def __init__(self, images: ModelAdapter, embeddings: Tensor) -> None:
        self.source = images.source
        self._images, self._embeddings = images, embeddings

    def forward(self, module: nn.Module, images: Tensor) -> Tensor:
        """Cosines (B, classes)."""
        found = F.normalize(self._images.forward(module, images).float(), dim=-1)
        return found @ self._embeddings.to(found.device).mT

    def num_classes(self, module: nn.Module) -> int:
        return len(self._embeddings)

    def transform(self, preprocessing: dict[str, Any]) -> Callable[[Any], Tensor]:
        return self._images.transform(preprocessing)


def zero_shot(model: Model, embeddings: Tensor, classes: ClassNames) -> Model:
    """An image tower as a classifier of ``classes``, whose texts have ``embeddings`` (N, D)."""
    return replace(model, adapter=ZeroShotAdapter(model.adapter, embeddings), classes=classes)


@torch.no_grad()
def embed_texts(model: Model, texts: Sequence[str], batch_size: int, device: str) -> Tensor:
    """(N, D) of length 1, in main memory: the embeddings of texts by a text tower."""
    loaded = load_batches(
        ListSource("texts", texts),
        range(len(texts)),
        model.transform(),
        min(batch_size, model.max_batch or batch_size),
    )
    model.to(device)
    found = torch.cat([model(tokens.to(device)).float().cpu() for tokens, _ in loaded])
    return F.normalize(found, dim=-1)
