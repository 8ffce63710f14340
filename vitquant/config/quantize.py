"""Every setting of a quantization run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitquant.config.bits import TERNARY, BitAssignment, Bits
from vitquant.config.declare import setting
from vitquant.config.evaluate import as_viewed
from vitquant.config.groups.budget import BUDGETS, Budget, check_budget
from vitquant.config.groups.quantizers import (
    FLOAT_ACTIVATIONS,
    I16_ACTIVATIONS,
    MANY_BITS,
    ONE_SCALE,
    PREFIX_BITS,
    Quantizers,
    check_quantizers,
)
from vitquant.config.groups.training import (
    LOW_BIT_HEAD,
    OTHER_MEANS,
    TERNARY_WEIGHTS,
    Augmentation,
    Compute,
    Correction,
    LearningRates,
    Loss,
    Training,
)
from vitquant.config.setting import Settings
from vitquant.config.synthesize import is_inverted
from vitquant.config.targets import DEFAULT_TARGET, TARGETS
from vitquant.config.targets.base import Target
from vitquant.config.values import (
    AT_LEAST_1,
    DEFAULT_GENERATOR,
    MINIATURE_GENERATOR,
    SEED,
    When,
)
from vitquant.core.errors import UserError

METHODS = {
    "joint": "all layers trained together to match the float model's features and logits",
    "block": "one block after the other trained to match the float model's (BRECQ)",
    "dfq": "scale search, then every layer corrected in closed form; no training (DFQ-ViT)",
    "repq": "scale search with channels reparameterized behind LayerNorms; no training (RepQ-ViT)",
    "rtn": "scale search and rounding to nearest; no training",
}
"""The methods, with what each does."""
SYNTHESIZERS_OF_CALIB = {
    "synthetic": "prompts",
    "template": "template",
    "inversion": "inversion",
}
"""Calibration images that are made first, with what makes them."""

_NO_FILES = (*SYNTHESIZERS_OF_CALIB, "digits", "noise")
# A classifier of fewer bits than this is too coarse where it is only rounded.
_FEW_BITS = 3
# From so many bits of activations on, scales of heads cost more time than they are worth.
_MANY = 5


class Basics(Settings):
    """Options"""

    bits: Bits = setting(
        None,
        "Bits of weights (1.58, 2-8; 1.58 is ternary) and activations (2-8; 16 leaves them float), "
        "such as w4a4; w8i16: activations of 16-bit integers.",
        metavar="W4A4",
        required=True,
        instead=BUDGETS,
    )
    calib: str = setting(
        "synthetic",
        "Calibration images: synthetic (generated from prompts that are learned first), template "
        "(generated from texts), inversion (optimized through MODEL itself), a folder, a .tar, "
        "digits, noise, or a data set such as hfds/… that timm reads. For a text tower, texts: "
        "synthetic, template, or FILE.txt with one a line.",
        metavar="SOURCE",
    )
    method: str = setting(
        "joint",
        "How to quantize. " + " ".join(f"{name}: {what}." for name, what in METHODS.items()),
        metavar="NAME",
        choices=tuple(METHODS),
    )
    target: str = setting(
        DEFAULT_TARGET,
        "What the exported file is to be fast on, which decides how activations are quantized.",
        metavar="NAME",
        choices=tuple(TARGETS),
    )
    seed: int = setting(0, "Seed of everything random.", SEED)
    classes: str | None = setting(
        None,
        "What the outputs are called: a name a line, one for each, in their order. Stored in the "
        "checkpoint.",
        metavar="FILE",
    )


class CalibrationImages(Settings):
    """Calibration images"""

    samples: int = setting(1024, "Calibration images at most.", AT_LEAST_1)
    init_images: int = setting(
        32, "Images that scales are searched on, and layers corrected for.", AT_LEAST_1
    )
    as_viewed: bool = as_viewed({"calib": When(lambda c: c not in _NO_FILES, "SOURCE of files")})
    generator: str | None = setting(
        None,
        "One-step text-to-image pipeline of diffusers: a name on the Hub or a folder; by default "
        f"{DEFAULT_GENERATOR}, or {MINIATURE_GENERATOR} for a miniature.",
        metavar="ID",
        used_by={"calib": ("synthetic", "template")},
    )
    prompts: str | None = setting(
        None,
        "Prompts learned before: a file, or hf://owner/name.",
        metavar="FILE",
        used_by={"calib": ("synthetic",)},
    )


class QuantizeSettings(
    Compute, Correction, Augmentation, Loss, LearningRates, Training, Quantizers, Budget,
    CalibrationImages, Basics,
):  # fmt: skip
    """How a model is quantized."""

    @classmethod
    def cases(cls, values: Mapping[str, Any]) -> set[str]:
        found = {
            TERNARY_WEIGHTS: values["bits"].weight == TERNARY,
            FLOAT_ACTIVATIONS: not values["bits"].quantizes_activations,
            I16_ACTIVATIONS: values["bits"].signed,
            MANY_BITS: values["bits"].activation >= _MANY,
            PREFIX_BITS: values["prefix_bits"] is not None,
            ONE_SCALE: not TARGETS[values["target"]].head_scales,
            LOW_BIT_HEAD: values["head_bits"].weight < _FEW_BITS,
            OTHER_MEANS: values["calib"] in ("inversion", "noise")
            or is_inverted(Path(values["calib"])),
        }
        return {case for case, holds in found.items() if holds}

    @property
    def profile(self) -> Target:
        """What the target computes fast."""
        return TARGETS[self.target]

    @property
    def assignment(self) -> BitAssignment:
        """The bits by place."""
        patterns = tuple(self.layer_bits or ())
        return BitAssignment(self.bits, self.patch_embed_bits, self.head_bits, patterns)

    def has_head_scales(self, bits: Bits) -> bool:
        """Whether the heads of a matmul of such bits have scales of their own.

        What ``--bits`` makes the default stands for the default, which is that of the matmul's own
        bits.
        """
        if bits.signed or not self.profile.head_scales:
            return False
        is_default = self.per_head == (self.bits.activation < _MANY)
        return bits.activation < _MANY if is_default else self.per_head

    def head_rate(self, weight_bits: float) -> float:
        """The learning rate of a classifier of such weights; defaults as of head scales."""
        usual, own = (
            self.lr_weights if bits < _FEW_BITS else 0.0
            for bits in (self.head_bits.weight, weight_bits)
        )
        return own if self.lr_head == usual else self.lr_head

    @classmethod
    def _resolved(cls, values: dict[str, Any]) -> dict[str, Any]:
        if "bits" not in values:
            # Until bits are chosen, one of the choices stands for all where defaults depend on it.
            choices = values.get("choices", cls.fields()["choices"].default)
            values = values | {"bits": choices.middle}
        return super()._resolved(values)

    def check(self, labels: Mapping[str, str]) -> None:
        check_budget(self, labels)
        check_quantizers(self, labels)
        if "lr_shifts" in labels and not (self.stored_rescaling or self.prefix_scales):
            raise UserError(
                f"{labels['lr_shifts']}: nothing is shifted; it goes with "
                f"{self.naming.choice('stored_rescaling', True, False)}; add that, or leave it out"
            )
