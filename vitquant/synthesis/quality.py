"""How the float model classifies a set of images, and how varied the set is."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vitquant.data.image_source import ImageSource
from vitquant.data.loader import load_batches
from vitquant.models.model import Model

_BATCH = 50
_NEIGHBORS = 5


class Classifier:
    """The frozen float model behind its own preprocessing, both differentiable."""

    def __init__(self, model: Model, device: torch.device | str) -> None:
        self._model = model
        model.module.to(device).eval().requires_grad_(False)
        self._transform: Any = model.transform()  # takes tensors too

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, classes) and features in front of the classifier (N, D).

        images: (N, 3, H, W) from 0 to 1, of any size; they are resized, cropped and normalized as
        the model's own transform does.
        """
        return self.logits_and_features(self._transform(images))

    def logits_and_features(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The same for images that are preprocessed already."""
        return self._model.features(inputs)


@dataclass(frozen=True)
class ImageSetMetrics:
    """How well a set of images is classified, and how varied it is.

    Attributes:
        top1: the fraction of images that the float model assigns to their class.
        similarity: mean cosine between the features of two images of a class, mean over classes.
        coverage: the fraction of real images that have a generated one nearer than their fifth
            nearest real one; None without real images.
    """

    top1: float
    similarity: float
    coverage: float | None


def measure(
    model: Model, images: ImageSource, device: str, real: ImageSource | None = None
) -> ImageSetMetrics:
    """Score labeled images by the float model.

    real: images to compare with.
    """
    classifier = Classifier(model, device)
    logits, features = _outputs(classifier, model, images, device)
    labels = torch.tensor(images.labels)
    sets = [features[labels == index] for index in labels.unique()]
    cosines = [mean_pairwise_cosine(members).item() for members in sets if len(members) > 1]
    covered = None
    if real is not None:
        covered = coverage(_outputs(classifier, model, real, device)[1], features)
    return ImageSetMetrics(
        top1=(logits.argmax(-1) == labels).float().mean().item(),
        similarity=sum(cosines) / len(cosines) if cosines else 0.0,
        coverage=covered,
    )


def mean_pairwise_cosine(vectors: Tensor) -> Tensor:
    """Mean cosine between different members of each set, (...).

    vectors: (..., N, D). Of a set of one it is 0.
    """
    count = vectors.shape[-2]
    if count < 2:
        return vectors.new_zeros(vectors.shape[:-2])
    unit = F.normalize(vectors, dim=-1)
    # The square of the sum has every pair twice, and each member with itself once.
    total = unit.sum(-2).square().sum(-1) - unit.square().sum((-1, -2))
    return total / (count * (count - 1))


def coverage(real: Tensor, generated: Tensor, neighbors: int = _NEIGHBORS) -> float:
    """Share of the real samples (N, D) whose neighborhood has a generated one (M, D) in it.

    A neighborhood reaches to the ``neighbors``-th nearest other real sample (Naeem, Oh, Uh, Choi,
    Yoo, "Reliable fidelity and diversity metrics", arXiv 2002.09797).
    """
    neighbors = min(neighbors, len(real) - 1)
    if neighbors < 1:
        return 0.0
    radius = torch.cdist(real, real).kthvalue(neighbors + 1, dim=1).values
    return (torch.cdist(real, generated).min(1).values <= radius).float().mean().item()


@torch.no_grad()
def _outputs(
    classifier: Classifier, model: Model, images: ImageSource, device: str
) -> tuple[Tensor, Tensor]:
    """Logits and features, on the CPU, of images as the quantizer will see them."""
    logits, features = [], []
    for batch, _ in load_batches(images, range(len(images)), model.transform(), _BATCH):
        found = classifier.logits_and_features(batch.to(device))
        logits.append(found[0].float().cpu())
        features.append(found[1].float().cpu())
    return torch.cat(logits), torch.cat(features)
