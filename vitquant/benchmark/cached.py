"""A reference that several files are compared with: it computes each batch once."""

import hashlib
from dataclasses import replace

from torch import Tensor, nn

from vitquant.models.model import Model


def cached(model: Model) -> Model:
    """A model that computes each batch once, to be the reference of several."""
    return replace(model, module=_Cached(model))


class _Cached(nn.Module):
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
