"""Every setting of a quantization run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitquant.config.bits import ACTIVATION_BITS, FLOAT_BITS, TERNARY, BitAssignment, Bits
from vitquant.config.declare import SameAs, UsedBy, setting
from vitquant.config.setting import Settings
from vitquant.config.synthesize import is_inverted
from vitquant.config.training import (
    JOINT,
    LOW_BIT_HEAD,
    TERNARY_WEIGHTS,
    TRAINED,
    Augmentation,
    LearningRates,
    Loss,
    Training,
)
from vitquant.config.values import (
    AT_LEAST_1,
    DEFAULT_GENERATOR,
    MINIATURE_GENERATOR,
    POSITIVE,
    PRECISIONS,
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

_FLOAT_ACTIVATIONS = "float activations"
_I16_ACTIVATIONS = "16-bit integer activations"
_OTHER_MEANS = "noise and inverted images"
# A classifier of fewer bits than this is too coarse where it is only rounded.
_FEW_BITS = 3

_CORRECTED: UsedBy = {"method": ("dfq",), "start": ("dfq",)}
# To 16-bit integers, scales of parts bring nothing.
_WITH_ACTIVATIONS: UsedBy = {
    "bits": When(
        lambda b: b.quantizes_activations and not b.signed, "of activations of 8 bits or fewer"
    )
}
_WITHOUT_I16: UsedBy = {"bits": When(lambda b: not b.signed, "without i16")}


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
        "digits, noise, or a data set such as hfds/… that timm reads.",
        metavar="SOURCE",
    )
    method: str = setting(
        "joint",
        "How to quantize. " + " ".join(f"{name}: {what}." for name, what in METHODS.items()),
        metavar="NAME",
        choices=tuple(METHODS),
    )
    seed: int = setting(0, "Seed of everything random.", SEED)


class CalibrationImages(Settings):
    """Calibration images"""

    samples: int = setting(1024, "Calibration images at most.", AT_LEAST_1)
    init_images: int = setting(
        32, "Images that scales are searched on, and layers corrected for.", AT_LEAST_1
    )
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
        unless={_I16_ACTIVATIONS: False},
    )
    prefix_scales: bool = setting(
        True,
        "Quantize class tokens and registers around their own means, with scales of their own, not "
        "as patches are.",
        used_by=_WITHOUT_I16,
        unless={_I16_ACTIVATIONS: False},
    )
    prefix_bits: int | None = setting(
        None,
        "Bits of activations at the places of class tokens and registers, one row of many; by "
        "default those of --bits. Kernels that multiply bytes have room for 8.",
        used_by={"prefix_scales": (True,)},
    )


class Correction(Settings):
    """Closed-form correction (dfq)"""

    used_by = _CORRECTED

    reparameterize: bool = setting(
        False,
        "Make channels behind normalizations alike first, as repq does.",
        used_by={"method": ("dfq",)},
    )
    damping: float = setting(
        0.1,
        "Added to the second moments of a layer's input, as a fraction of their mean. More trusts "
        "the images less.",
        POSITIVE,
    )
    correct_bias: bool = setting(True, "Correct biases too.", unless={_OTHER_MEANS: False})


class Compute(Settings):
    """Compute and memory"""

    used_by = TRAINED

    grad_accum_steps: int = setting(
        1, "Micro-batches that a step's images are divided into; saves memory.", AT_LEAST_1
    )
    grad_checkpointing: bool = setting(
        False,
        "Recompute activations in the backward pass; saves more memory, takes longer.",
        used_by=JOINT,
    )
    precision: str = setting(
        "auto",
        "Of matrix products in training; auto is bfloat16 where the hardware has such products.",
        metavar="P",
        choices=PRECISIONS,
    )
    compile: bool | None = setting(
        None,
        "Compile the quantizers for training; by default where a compiler is found and the run is "
        "long enough.",
    )
    allow_float: bool = setting(
        False,
        "Leave unsupported operations float instead of refusing the model.",
        used_by={},
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
            LOW_BIT_HEAD: values["head_bits"].weight < _FEW_BITS,
            _OTHER_MEANS: values["calib"] in ("inversion", "noise")
            or is_inverted(Path(values["calib"])),
        }
        return {case for case, holds in found.items() if holds}

    @property
    def assignment(self) -> BitAssignment:
        """The bits by place."""
        return BitAssignment(self.bits, patch_embed=self.patch_embed_bits, head=self.head_bits)

    def check(self, labels: Mapping[str, str]) -> None:
        if self.prefix_bits is None:
            return
        label, bits = labels["prefix_bits"], self.bits
        if not bits.quantizes_activations:
            raise UserError(f"{label}: {bits} leaves activations float; leave it out")
        accepted = [b for b in ACTIVATION_BITS if bits.activation <= b < FLOAT_BITS]
        if self.prefix_bits not in accepted:
            raise UserError(
                f"{label}: {self.prefix_bits} is not one; accepted with {bits}: "
                f"{', '.join(map(str, accepted))}"
            )
