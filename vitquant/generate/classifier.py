"""The model to be quantized, looking at drawn images."""

import torch
from torch import Tensor

from vitquant.models.model import Model


class Classifier:
    """The frozen float model behind its own preprocessing, both differentiable."""

    def __init__(self, model: Model, device: torch.device | str) -> None:
        self._model = model
        model.module.to(device).eval().requires_grad_(False)
        self._transform = model.transform()

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, classes) and features in front of the classifier (N, D).

        images: (N, 3, H, W) from 0 to 1, of any size; they are resized, cropped and normalized as
        the model wants it.
        """
        return self.seen(self._transform(images))

    def seen(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The same for images that are preprocessed already."""
        return self._model.features(inputs)
