"""How well a set of images is recognised, and how varied it is."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vitquant.data.image_source import ImageSource
from vitquant.data.loader import load_batches
from vitquant.generate.classifier import Classifier
from vitquant.generate.similarity import mean_similarity
from vitquant.models.model import Model

_BATCH = 50
_NEIGHBOURS = 5


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
    for batch, _ in load_batches(images, range(len(images)), model.transform(), _BATCH):
        for found, values in zip(
            (logits, features), classifier.seen(batch.to(device)), strict=True
        ):
            found.append(values.float().cpu())
    return torch.cat(logits), torch.cat(features)
