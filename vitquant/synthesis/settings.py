"""Every setting of synthesis, with its default and its check."""

from dataclasses import dataclass
from typing import Any

from vitquant.core.errors import UserError
from vitquant.methods.settings import PRECISIONS


@dataclass(frozen=True)
class PromptSettings:
    """How prompts are learned.

    Args:
        prompts_per_class: modes of a class, each with embeddings of its own.
        steps: of Adam, for each class.
        lr: Adam's learning rate, in standard deviations of the embeddings that it starts from.
        ce_weight: of the cross-entropy of the generated images.
        prompt_diversity: of the mean cosine between the embeddings of a class's prompts.
        image_diversity: of the mean cosine between the features of a class's images.
        text_weight: of the mean squared distance from the embeddings of the text that a prompt
            starts from, in units of the vocabulary's own variance.
        batch_size: images generated at once. Small classes share a batch, large ones are worked
            through in parts.
        seed: of everything random.
    """

    prompts_per_class: int = 20
    steps: int = 40
    lr: float = 0.3
    ce_weight: float = 1.0
    prompt_diversity: float = 0.1
    image_diversity: float = 0.1
    text_weight: float = 0.1
    batch_size: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        _check_counts(self, "prompts_per_class", "steps", "batch_size")
        _check_weights(self, "lr", "ce_weight", "prompt_diversity", "image_diversity")
        _check_weights(self, "text_weight")
        _check_seed(self.seed)


@dataclass(frozen=True)
class DiffusionSettings:
    """How many images are generated, and which are kept.

    Args:
        samples: images at most, spread evenly over the classes; one for each class at least.
        seed: of the noise.
        batch_size: images generated at once.
        min_confidence: an image to whose class the float model gives less is rejected.
        max_attempts: how often an image is generated at most.
    """

    samples: int = 1024
    seed: int = 0
    batch_size: int = 20
    min_confidence: float = 0.0
    max_attempts: int = 4

    def __post_init__(self) -> None:
        _check_counts(self, "samples", "batch_size", "max_attempts")
        if not 0 <= self.min_confidence < 1:
            raise UserError(
                f"--min-confidence: {self.min_confidence} is not from 0 up to, but without, 1"
            )


@dataclass(frozen=True)
class InversionSettings:
    """How images are optimized through the float model.

    Args:
        samples: images.
        iterations: of Adam, for each image.
        crops: look at ever smaller parts of the image; else at the whole image throughout.
        seed: of everything random.
        batch_size: images optimized at once.
        lr_cycles: in how many equal parts of the iterations the learning rate rises and falls.
        lr: Adam's learning rate, in units of the model's normalized input.
        ce_weight: of the cross-entropy to the image's class, in nats.
        entropy_weight: of the entropy of the patches' similarities, in nats, of all attentions.
        tv_weight: of how far the total variation is from ``tv_target``.
        tv_target: the root mean square difference between neighboring pixels that is aimed at, in
            units of the model's normalized input.
        min_crop: the share of the image's area that is looked at in the end, with crops.
        points: of the grid that the density of similarities is estimated on.
        patches: of an attention, at most; of more, so many are sampled in each iteration.
        precision: of the model's products: float32, bfloat16, or auto for bfloat16 where the
            hardware has it. Images are float32 throughout.
    """

    samples: int = 32
    iterations: int = 200
    crops: bool = True
    seed: int = 0
    batch_size: int = 20
    lr_cycles: int = 2
    lr: float = 0.2
    ce_weight: float = 1.0
    entropy_weight: float = 1.0
    tv_weight: float = 100.0
    tv_target: float = 0.3
    min_crop: float = 0.2
    points: int = 16
    patches: int = 64
    precision: str = "auto"

    def __post_init__(self) -> None:
        _check_counts(self, "samples", "iterations", "batch_size", "lr_cycles")
        _check_weights(self, "lr", "ce_weight", "entropy_weight", "tv_weight", "tv_target")
        if not 0 < self.min_crop <= 1:
            raise UserError(
                f"--min-crop: {self.min_crop} is not above 0 and at most 1, a share of the image's "
                f"area"
            )
        if self.precision not in PRECISIONS:
            raise UserError(
                f"--precision: {self.precision!r} is not one; accepted: {', '.join(PRECISIONS)}"
            )
        _check_seed(self.seed)


def _check_counts(settings: Any, *names: str) -> None:
    for name in names:
        if getattr(settings, name) < 1:
            raise UserError(f"{_flag(name)}: {getattr(settings, name)} is too few; 1 or more")


def _check_weights(settings: Any, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(settings, name) < float("inf"):
            raise UserError(
                f"{_flag(name)}: {getattr(settings, name)} is not 0 or a positive number"
            )


def _check_seed(seed: int) -> None:
    if not 0 <= seed < 2**63:
        raise UserError(f"--seed: {seed} is not from 0 to 2**63 - 1")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
