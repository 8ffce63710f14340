"""Every setting of making calibration images, and of learning prompts for them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from vitquant.config.declare import UsedBy, setting
from vitquant.config.groups.generator import GENERATED, Basics, GeneratorChoice, Precision
from vitquant.config.groups.prompts import PromptSettings
from vitquant.config.groups.sharing import Sharing
from vitquant.config.naming import KEYWORDS, Naming
from vitquant.config.setting import Recipe, Settings
from vitquant.config.values import (
    AT_LEAST_1,
    NOT_NEGATIVE,
    Check,
    When,
)
from vitquant.core.errors import UserError

SYNTHESIZERS = {
    "prompts": "A text-to-image model generates images, from prompts that are learned.",
    "template": "Generate from texts such as 'a bright photo of a small CLASS', not from prompts.",
    "inversion": "Use no generator: optimize images through MODEL itself.",
}
"""What makes images."""
RUN_FILE = "vitquant.json"
"""The file of a folder of images that says what they were made with."""

_CROP = Check(lambda x: 0 < x <= 1, "above 0 and at most 1, a fraction of the image's area")
_CONFIDENCE = Check(lambda x: 0 <= x < 1, "from 0 up to, but without, 1")
_TEMPLATE: UsedBy = {"synthesizer": ("template",)}
_INVERTED: UsedBy = {"synthesizer": ("inversion",)}


def is_inverted(folder: Path) -> bool:
    """Whether a folder holds images that were optimized through a model."""
    try:
        found = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    run = found.get("run") if isinstance(found, dict) else None
    return isinstance(run, dict) and "inversion" in run


class Images(Basics):
    """Images"""

    samples: int = setting(
        1024, "Images, spread evenly over the classes; one for each class at least.", AT_LEAST_1
    )
    batch_size: int = setting(20, "Images made at once.", AT_LEAST_1)


class LearnPromptsSettings(Sharing, Precision, PromptSettings, GeneratorChoice):
    """What ``learn-prompts`` does."""


class DiffusionSettings(Images):
    """Rejection"""

    used_by = GENERATED

    min_confidence: float = setting(
        0.0, "Reject images to whose class the model gives a lower probability.", _CONFIDENCE
    )
    max_attempts: int = setting(
        4,
        "How often an image is generated at most.",
        AT_LEAST_1,
        used_by={"min_confidence": When()},
    )


class InversionSettings(Precision, Images):
    """Inversion (--inversion)"""

    used_by = _INVERTED

    samples: int = setting(128, "Images, spread evenly over the classes.", AT_LEAST_1)
    iterations: int = setting(100, "Iterations of Adam for each image.", AT_LEAST_1)
    lr: float = setting(
        0.2, "Adam's learning rate, in units of the model's normalized input.", NOT_NEGATIVE
    )
    lr_cycles: int = setting(2, "How often the learning rate rises and falls.", AT_LEAST_1)
    crops: bool = setting(True, "Go on from the whole image to smaller and smaller parts.")
    min_crop: float = setting(
        0.2,
        "Fraction of the image's area that is looked at in the end.",
        _CROP,
        used_by={"crops": (True,)},
    )
    ce_weight: float = setting(1.0, "Weight of the cross-entropy to the class.", NOT_NEGATIVE)
    entropy_weight: float = setting(
        1.0, "Weight of the entropy of the patches' similarities.", NOT_NEGATIVE
    )
    tv_weight: float = setting(
        100.0, "Weight of the distance of the total variation from --tv-target.", NOT_NEGATIVE
    )
    tv_target: float = setting(
        0.3,
        "Root mean square difference between neighboring pixels, in units of the model's "
        "normalized input.",
        NOT_NEGATIVE,
    )
    points: int = setting(
        16, "Points of the grid that the density of similarities is estimated on.", AT_LEAST_1
    )
    patch_drop: float = setting(
        0.0, "Fraction of an image's patches that each iteration leaves out.", _CONFIDENCE
    )
    confidence: float = setting(
        0.0, "Probability of its class at which an image is finished; 0 for never.", _CONFIDENCE
    )
    patience: int = setting(
        5, "In so many iterations in a row.", AT_LEAST_1, used_by={"confidence": When()}
    )
    patches: int = setting(
        64, "Patches of an attention at most; of more, so many are sampled.", AT_LEAST_1
    )


class Source(Settings):
    """Options"""

    synthesizer: str = setting(
        "prompts",
        "What makes the images.",
        choices=tuple(SYNTHESIZERS),
        flags=SYNTHESIZERS,
    )
    prompts: str | None = setting(
        None,
        "Learned prompts: a file, or hf://owner/name; by default they are learned if they are not "
        "in the cache.",
        metavar="FILE",
        used_by={"synthesizer": ("prompts",)},
    )
    text: str | None = setting(
        None, "A text of your own, {} for the class.", metavar="TEXT", used_by=_TEMPLATE
    )
    adjectives: bool = setting(
        True,
        "Texts with adjectives such as 'a bright photo of a small CLASS', not 'a photo of a "
        "CLASS' alone.",
        used_by=_TEMPLATE,
    )


class SynthesizeSettings(InversionSettings, DiffusionSettings, GeneratorChoice, Source):
    """What ``synthesize`` does."""

    samples: int = setting(
        1024,
        "Images, spread evenly over the classes; one for each class at least, but for inversion.",
        AT_LEAST_1,
        unless={"inversion": 128},
    )
    real_images: str | None = setting(
        None, "Real images, of which the coverage is measured.", metavar="SOURCE", used_by={}
    )

    @classmethod
    def build(cls, recipe: Recipe | None = None, naming: Naming = KEYWORDS, **given: Any) -> Self:
        if given.get("text") is not None and given.get("synthesizer") is None:
            given["synthesizer"] = "template"
        return super().build(recipe, naming, **given)

    @classmethod
    def cases(cls, values: Mapping[str, Any]) -> set[str]:
        return {values["synthesizer"]}

    def check(self, labels: Mapping[str, str]) -> None:
        if self.text is not None and "adjectives" in labels:
            raise UserError(f"{labels['adjectives']}: the text says it; leave one of them out")
        one = self.prompts or self.text or (self.synthesizer == "template" and not self.adjectives)
        if one and "prompts_per_class" in labels:
            raise UserError(
                f"{labels['prompts_per_class']}: there are as many prompts as the file or the text "
                f"has; leave it out"
            )
        if self.prompts and "decoder" in labels:
            raise UserError(
                f"{labels['decoder']}: nothing is learned with the prompts of a file; leave it out"
            )
