"""What an evaluation found, its checks and its JSON."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vitquant.config.evaluate import EvaluateSettings
from vitquant.core.errors import CheckFailedError
from vitquant.evaluation.accuracy import Accuracy, Evaluation
from vitquant.evaluation.neighbors import NeighborScores
from vitquant.evaluation.output_error import finite_or_none
from vitquant.evaluation.outputs import OutputEvaluation
from vitquant.models.model import Model


@dataclass(frozen=True)
class Evaluated:
    """A model's scores.

    Attributes:
        name: of the model, as given.
        model: what was measured.
        reference: the model that was measured beside it; None without one.
        data: the source of the images.
        found: the figures, an :class:`OutputEvaluation` for a model of fewer than two classes.
        settings: what the evaluation was asked for.
    """

    name: str
    model: Model
    reference: Model | None
    data: str
    found: Evaluation | OutputEvaluation
    settings: EvaluateSettings

    @property
    def top1(self) -> float | None:
        """Of the model, with a gallery that of the nearest neighbor; None where there is none."""
        if isinstance(self.found, Evaluation):
            return self.found.accuracy.top1
        return None if self.found.neighbors is None else self.found.neighbors.top1

    def check(self) -> None:
        """Raises CheckFailedError if top-1 is below ``min_top1``, or the error above
        ``max_error``."""
        least, top1, naming = self.settings.min_top1, self.top1, self.settings.naming
        if least is not None and top1 is not None and top1 < least:
            flag = naming.option("min_top1")
            raise CheckFailedError(f"{flag}: top-1 is {top1:.4f}, below {least}")
        most = self.settings.max_error
        error = self.found.error if isinstance(self.found, OutputEvaluation) else None
        if most is not None and error is not None and error.relative_error > most:
            flag = naming.option("max_error")
            raise CheckFailedError(
                f"{flag}: the relative error is {error.relative_error:.4f}, above {most}"
            )

    def warnings(self) -> Iterator[str]:
        """Lines about outputs that are NaN or infinite."""
        found, scored = self.found, []
        if isinstance(found, OutputEvaluation):
            scored = [("outputs", found.not_finite)]
        else:
            scored = [("logits", found.accuracy.not_finite)]
            if found.reference is not None:
                scored.append(("logits of the reference", found.reference.not_finite))
        for what, count in scored:
            if count:
                yield f"{what} are NaN or infinite for {count} of {found.images} images"

    def to_json(self) -> dict[str, Any]:
        """What ``vitquant eval --json`` prints."""
        found = self.found
        result: dict[str, Any] = {
            "model": self.name,
            "float_model": self.model.identity.to_json(),
            "data": self.data,
            "images": found.images,
            **_scores(found),
            "images_per_second": round(found.images_per_second, 2),
        }
        if isinstance(found, OutputEvaluation) and found.gallery_images is not None:
            result["gallery"] = self.settings.gallery
            result["gallery_images"] = found.gallery_images
        if (text := self.settings.text_model) is not None:
            own = {"template": self.settings.template, "classes": self.model.num_classes}
            result |= {"text_model": text} | own
        if self.reference is None:
            return result
        result["reference"] = {
            "model": self.reference.identity.name,
            "weights_sha256": self.reference.identity.weights_sha256,
        }
        if isinstance(found, Evaluation) and found.reference is not None:
            result["reference"] |= _accuracy(found.reference)
            result["agreement"] = found.agreement
            result["drop"] = found.reference.top1 - found.accuracy.top1
        elif isinstance(found, OutputEvaluation) and found.error is not None:
            result["reference"] |= _recall(found.reference_neighbors)
            result |= {
                "cosine": found.error.cosine,
                "relative_error": finite_or_none(found.error.relative_error),
                "mean_absolute_error": finite_or_none(found.error.mean_absolute_error),
            }
        return result


def _scores(found: Evaluation | OutputEvaluation) -> dict[str, Any]:
    if isinstance(found, Evaluation):
        return _accuracy(found.accuracy)
    return _recall(found.neighbors) | {"not_finite": found.not_finite}


def _accuracy(found: Accuracy) -> dict[str, Any]:
    return {"top1": found.top1, "top5": found.top5, "not_finite": found.not_finite}


def _recall(found: NeighborScores | None) -> dict[str, Any]:
    if found is None:
        return {}
    recall = {str(k): fraction for k, fraction in found.recall_at_k.items()}
    return {"neighbor_top1": found.top1, "recall_at_k": recall}
