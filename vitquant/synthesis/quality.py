"""How well a set of images is recognised, and how varied it is."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vitquant.data.batches import batches
from vitquant.data.image_source import ImageSource
from vitquant.models.model import Model

_BATCH = 50
_NEIGHBOURS = 5


class Classifier:
    """The frozen float model behind its own preprocessing, both differentiable."""

    def __init__(self, model: Model, device: torch.device | str) -> None:
        self._module = model.module.to(device).eval().requires_grad_(False)
        self._transform = model.transform()

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, classes) and features in front of the classifier (N, D).

        images: (N, 3, H, W) from 0 to 1, of any size; they are resized, cropped and normalised as
        timm does for this model.
        """
        return self.seen(self._transform(images))

    def seen(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The same for images that are preprocessed already."""
        tokens = self._module.forward_features(inputs)
        return self._module.forward_head(tokens), self._module.forward_head(tokens, pre_logits=True)


@dataclass(frozen=True)
class Quality:
    """How well recognised, and how varied.

    top1: share of the images that the float model assigns to their class. similarity: mean cosine
    between the features of two images of a class, mean over the classes. coverage: share of a real
    set's images that have a drawn one nearer than their fifth nearest real one; None without one.
    """

    top1: float
    similarity: float
    coverage: float | None


def measure(
    model: Model,
    images: ImageSource,
    device: str,
    real: ImageSource | None = None,
) -> Quality:
    """Score labelled images by the float model.

    real: images to compare with.
    """
    classifier = Classifier(model, device)
    logits, features = _seen(classifier, model, images, device)
    wanted = torch.tensor(images.labels)
    sets = [features[wanted == index] for index in wanted.unique()]
    alike = [mean_similarity(members).item() for members in sets if len(members) > 1]
    covered = None
    if real is not None:
        covered = coverage(_seen(classifier, model, real, device)[1], features)
    return Quality(
        top1=(logits.argmax(-1) == wanted).float().mean().item(),
        similarity=sum(alike) / len(alike) if alike else 0.0,
        coverage=covered,
    )


def coverage(real: Tensor, drawn: Tensor, neighbours: int = _NEIGHBOURS) -> float:
    """Share of the real samples (N, D) whose neighbourhood has a drawn one (M, D) in it.

    A neighbourhood reaches to the ``neighbours``-th nearest other real sample (Naeem, Oh, Uh, Choi,
    Yoo, "Reliable fidelity and diversity metrics", arXiv 2002.09797).
    """
    neighbours = min(neighbours, len(real) - 1)
    if neighbours < 1:
        return 0.0
    radius = torch.cdist(real, real).kthvalue(neighbours + 1, dim=1).values
    return (torch.cdist(real, drawn).min(1).values <= radius).float().mean().item()


@torch.no_grad()
def _seen(
    classifier: Classifier, model: Model, images: ImageSource, device: str
) -> tuple[Tensor, Tensor]:
    """Logits and features, on the CPU, of images as the quantizer will see them."""
    logits, features = [], []
    for batch, _ in batches(images, range(len(images)), model.transform(), _BATCH):
        for found, values in zip(
            (logits, features), classifier.seen(batch.to(device)), strict=True
        ):
            found.append(values.float().cpu())
    return torch.cat(logits), torch.cat(features)


def mean_similarity(vectors: Tensor) -> Tensor:
    """Mean cosine between different members of each set, (...).

    vectors: (..., N, D). A set of one is alike to nothing: 0.
    """
    count = vectors.shape[-2]
    if count < 2:
        return vectors.new_zeros(vectors.shape[:-2])
    unit = F.normalize(vectors, dim=-1)
    # The square of the sum has every pair twice, and each member with itself once.
    total = unit.sum(-2).square().sum(-1) - unit.square().sum((-1, -2))
    return total / (count * (count - 1))
