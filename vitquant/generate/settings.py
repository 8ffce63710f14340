"""Every setting of learning prompts, with its default and its check."""

from dataclasses import asdict, dataclass
from typing import Any

from vitquant.core.errors import UserError


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
