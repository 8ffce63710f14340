"""Every setting of a quantization run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitquant.config.bits import ACTIVATION_BITS, FLOAT_BITS, TERNARY, BitAssignment, Bits
from vitquant.config.declare import SameAs, UsedBy, setting
from vitquant.config.evaluate import as_viewed
from vitquant.config.setting import Settings
from vitquant.config.synthesize import is_inverted
from vitquant.config.targets import DEFAULT_TARGET, TARGETS
from vitquant.config.targets.base import Target
from vitquant.config.training import (
    LOW_BIT_HEAD,
    OTHER_MEANS,
    TERNARY_WEIGHTS,
    TRAINED,
    Augmentation,
    Compute,
    Correction,
    LearningRates,
    Loss,
    Training,
)
from vitquant.config.values import (
    AT_LEAST_1,
    DEFAULT_GENERATOR,
    MINIATURE_GENERATOR,
    SEED,
    Patterns,
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
_FLOAT_ACTIVATIONS = "float activations"
_I16_ACTIVATIONS = "16-bit integer activations"
_MANY_BITS = "activations of 5 bits or more"
_ONE_SCALE = " and ".join(name for name, target in TARGETS.items() if not target.head_scales)
_PREFIX_BITS = "--prefix-bits"
# A classifier of fewer bits than this is too coarse where it is only rounded.
_FEW_BITS = 3
# From so many bits of activations on, scales of heads cost more time than they are worth.
_MANY = 5

# To 16-bit integers, scales of parts bring nothing.
_WITH_ACTIVATIONS: UsedBy = {
    "bits": When(
        lambda b: b.quantizes_activations and not b.signed, "of activations of 8 bits or fewer"
    )
}


class Basics(Settings):
    """Options"""

    bits: Bits = setting(
        None,
        "Bits of weights (1.58, 2-8; 1.58 is ternary) and activations (2-8; 16 leaves them float), "
        "such as w4a4; w8i16: activations of 16-bit integers.",
        metavar="W4A4",
        required=True,
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
        "One-step Stable Diffusion model: a name on the Hub or a folder; by default "
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


class Quantizers(Settings):
    """Bits and quantizers"""

    patch_embed_bits: Bits = setting(
        Bits(8, 8),
        "Bits of the layer that sees the image.",
        metavar="W8A8",
        unless={
            _FLOAT_ACTIVATIONS: Bits(8, FLOAT_BITS),
            _I16_ACTIVATIONS: Bits(8, 16, signed=True),
        },
    )
    head_bits: Bits = setting(SameAs("bits"), "Bits of the classifier.", metavar="W8A8")
    keep_float: Patterns | None = setting(
        None,
        "Leave layers and matmuls float whose name, or that of a module around them, is PATTERN, "
        "such as 'decoder.*'. May be repeated, or list several with commas between.",
        metavar="PATTERN",
    )
    rotate: bool = setting(
        False,
        "Rotate the residual stream first, which spreads outlier channels over all of them; for "
        "ViTs such as DeiT and DINOv2. The float model computes the same.",
    )
    per_head: bool = setting(
        True,
        "Give each head's attention weights a scale of their own, not one to all heads as most "
        "published methods do.",
        used_by=_WITH_ACTIVATIONS,
        unless={_MANY_BITS: False, _ONE_SCALE: False},
    )
    prefix_scales: bool = setting(
        False,
        "Quantize class tokens and registers around their own means, with scales of their own, not "
        "as patches are, which takes a few operations more in each layer.",
        used_by=_WITH_ACTIVATIONS,
        unless={_PREFIX_BITS: True},
    )
    stored_rescaling: bool = setting(
        False,
        "Give each channel of an input that nothing in front can rescale, that of the second layer "
        "of an MLP, a factor and an offset, which take a multiplication and an addition.",
        used_by=TRAINED,
        unless={TERNARY_WEIGHTS: True},
    )
    prefix_bits: int | None = setting(
        None,
        "Bits of activations at the places of class tokens and registers, one row of many; by "
        "default those of --bits. Kernels that multiply bytes have room for 8.",
        used_by={"prefix_scales": (True,)},
    )


class QuantizeSettings(
    Compute, Correction, Augmentation, Loss, LearningRates, Training, Quantizers,
    CalibrationImages, Basics,
):  # fmt: skip
    """How a model is quantized."""

    @classmethod
    def cases(cls, values: Mapping[str, Any]) -> set[str]:
        found = {
            TERNARY_WEIGHTS: values["bits"].weight == TERNARY,
            _FLOAT_ACTIVATIONS: not values["bits"].quantizes_activations,
            _I16_ACTIVATIONS: values["bits"].signed,
            _MANY_BITS: values["bits"].activation >= _MANY,
            _PREFIX_BITS: values["prefix_bits"] is not None,
            _ONE_SCALE: not TARGETS[values["target"]].head_scales,
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
        return BitAssignment(self.bits, patch_embed=self.patch_embed_bits, head=self.head_bits)

    def check(self, labels: Mapping[str, str]) -> None:
        self._check_target(labels)
        if "lr_shifts" in labels and not (self.stored_rescaling or self.prefix_scales):
            raise UserError(
                f"{labels['lr_shifts']}: nothing is shifted; it goes with "
                f"{self.naming.choice('stored_rescaling', True, False)}; add that, or leave it out"
            )
        if self.prefix_bits is None:
            return
        label, bits = labels["prefix_bits"], self.bits
        accepted = [b for b in ACTIVATION_BITS if bits.activation <= b < FLOAT_BITS]
        if self.prefix_bits not in accepted:
            raise UserError(
                f"{label}: {self.prefix_bits} is not one; accepted with {bits}: "
                f"{', '.join(map(str, accepted))}"
            )

    def _check_target(self, labels: Mapping[str, str]) -> None:
        own = {
            "per_head": self.per_head and not self.profile.head_scales,
            "prefix_bits": self.prefix_bits and not self.profile.prefix_scales,
            "prefix_scales": self.prefix_scales and not self.profile.prefix_scales,
        }
        for name in ("bits", "patch_embed_bits", "head_bits"):
            if getattr(self, name).signed and not self.profile.int16:
                raise UserError(
                    f"{labels[name]}: {self.profile.label} has no activations of 16-bit integers; "
                    f"a2 to a8, or a16 for float ones, are accepted"
                )
        for name, wrong in own.items():
            if wrong:
                raise UserError(
                    f"{labels[name]}: {self.profile.label} computes fast with one scale for a "
                    f"whole tensor; leave it out, or choose another target"
                )
