"""Every setting of inversion, with its default and its check."""

from dataclasses import asdict, dataclass
from typing import Any

from vitquant.errors import UserError
from vitquant.methods.settings import PRECISIONS
from vitquant.synthesis.inversion.schedule import Schedule


@dataclass(frozen=True)
class InversionSettings:
    """How images are optimised.

    Args:
        samples: images.
        iterations: of Adam, for each image.
        plain: look at the whole image throughout; else at ever smaller parts.
        seed: of everything random.
        batch_size: images optimised at once.
        rounds: in how many equal parts of the iterations the learning rate rises and falls.
        lr: Adam's learning rate, in units of the model's normalised input.
        class_weight: of the cross-entropy to the image's class, in nats.
        entropy_weight: of the entropy of the patches' similarities, in nats, of all attentions.
        variation_weight: of how far the total variation is from ``variation``.
        variation: the root mean square difference between neighbouring pixels that is aimed at, in
            units of the model's normalised input.
        smallest_crop: the share of the image's area that is looked at in the end, unless plain.
        points: of the grid that the density of similarities is estimated on.
        patches: of an attention, at most; of more, so many are drawn in each iteration.
        precision: of the model's products: float32, bfloat16, or auto for bfloat16 where the
            hardware has it. Images are float32 throughout.
    """

    samples: int = 32
    iterations: int = 200
    plain: bool = False
    seed: int = 0
    batch_size: int = 20
    rounds: int = 2
    lr: float = 0.2
    class_weight: float = 1.0
    entropy_weight: float = 1.0
    variation_weight: float = 100.0
    variation: float = 0.3
    smallest_crop: float = 0.2
    points: int = 16
    patches: int = 64
    precision: str = "auto"

    def __post_init__(self) -> None:
        for name in ("samples", "iterations", "batch_size", "rounds"):
            if getattr(self, name) < 1:
                raise UserError(f"{_flag(name)}: {getattr(self, name)} is too few; 1 or more")
        for name in ("lr", "class_weight", "entropy_weight", "variation_weight", "variation"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UserError(
                    f"{_flag(name)}: {getattr(self, name)} is not 0 or a positive number"
                )
        if not 0 < self.smallest_crop <= 1:
            raise UserError(
                f"--smallest-crop: {self.smallest_crop} is not above 0 and at most 1, a share of "
                f"the image's area"
            )
        if self.precision not in PRECISIONS:
            raise UserError(
                f"--precision: {self.precision!r} is not one; accepted: {', '.join(PRECISIONS)}"
            )
        if not 0 <= self.seed < 2**63:
            raise UserError(f"--seed: {self.seed} is not from 0 to 2**63 - 1")

    @property
    def schedule(self) -> Schedule:
        smallest = 1.0 if self.plain else self.smallest_crop
        return Schedule(self.iterations, self.rounds, smallest)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


@dataclass(frozen=True)
class LearnSettings:
    """How prompts are learned.

    Args:
        prompts_per_class: modes of a class, each with embeddings of its own.
        steps: of Adam, for each class.
        lr: Adam's learning rate, in standard deviations of the embeddings that it starts from.
        class_weight: of the cross-entropy of the drawn images.
        prompt_diversity: of the mean cosine between the embeddings of a class's prompts.
        image_diversity: of the mean cosine between the features of a class's images.
        text_weight: of the mean squared distance from the embeddings of the text that a prompt
            starts from, in units of the vocabulary's own variance.
        batch_size: images drawn at once. Small classes share a batch, large ones are worked through
            in parts.
        seed: of everything random.
    """

    prompts_per_class: int = 20
    steps: int = 40
    lr: float = 0.3
    class_weight: float = 1.0
    prompt_diversity: float = 0.1
    image_diversity: float = 0.1
    text_weight: float = 0.1
    batch_size: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        for name, flag in (
            ("prompts_per_class", "--prompts-per-class"),
            ("steps", "--steps"),
            ("batch_size", "--batch-size"),
        ):
            if getattr(self, name) < 1:
                raise UserError(f"{flag}: {getattr(self, name)} is too few; 1 or more")
        for name in ("lr", "class_weight", "prompt_diversity", "image_diversity", "text_weight"):
            if not 0 <= getattr(self, name) < float("inf"):
                flag = "--" + name.replace("_", "-")
                raise UserError(f"{flag}: {getattr(self, name)} is not 0 or a positive number")
        if not 0 <= self.seed < 2**63:
            raise UserError(f"--seed: {self.seed} is not from 0 to 2**63 - 1")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class DrawSettings:
    """How many images are drawn, and which are kept.

    Args:
        samples: images at most, spread evenly over the classes; one for each class at least.
        seed: of the noise.
        batch_size: images drawn at once.
        min_confidence: an image to whose class the float model gives less is rejected.
        attempts: how often an image is drawn at most.
    """

    samples: int = 1024
    seed: int = 0
    batch_size: int = 20
    min_confidence: float = 0.0
    attempts: int = 4

    def __post_init__(self) -> None:
        for name in ("samples", "batch_size", "attempts"):
            if getattr(self, name) < 1:
                flag = "--" + name.replace("_", "-")
                raise UserError(f"{flag}: {getattr(self, name)} is too few; 1 or more")
        if not 0 <= self.min_confidence < 1:
            raise UserError(
                f"--min-confidence: {self.min_confidence} is not from 0 up to, but without, 1"
            )
