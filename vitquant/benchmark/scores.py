"""What files predict: compared with the float model, with a reference, and with labels."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from vitquant.data.image_source import ImageSource
from vitquant.data.loader import load_batches
from vitquant.evaluation.agreement import compare_outputs
from vitquant.models.model import Model

_BATCH = 8


@torch.inference_mode()
def outputs(model: Model, images: ImageSource, indices: Sequence[int]) -> Tensor:
    """(N, classes), of images by their indices, with the model's own preprocessing."""
    size = min(_BATCH, model.max_batch or _BATCH)
    loaded = load_batches(images, indices, model.transform(), size)
    return torch.cat([model(batch) for batch, _ in loaded])


def agreement(expected: Tensor, found: Tensor) -> float | None:
    """The fraction of images on which both top-1 predictions are the same."""
    return compare_outputs(expected, found, expected.shape[-1]).agreement


def remembering(model: Model) -> Model:
    """A model that computes each batch once, to be the reference of several."""
    return replace(model, module=_Remembering(model))


class _Remembering(nn.Module):
    def __init__(self, model: Model) -> None:
        super().__init__()
        self.num_classes = model.num_classes
        self.module, self._adapter = model.module, model.adapter
        self._known: dict[str, Tensor] = {}

    def forward(self, images: Tensor) -> Tensor:
        key = hashlib.sha256(images.contiguous().numpy().data).hexdigest()
        if key not in self._known:
            self._known[key] = self._adapter.forward(self.module, images)
        return self._known[key]
