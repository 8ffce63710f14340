"""Every setting of a quantization run, with its default and its check."""

from dataclasses import asdict, dataclass
from typing import Any

from vitquant.bits import ACTIVATION_BITS, Bits
from vitquant.core.errors import UserError
from vitquant.methods.scheme import Scheme
from vitquant.quantization.quantizers.grid import FLOAT_BITS

PRECISIONS = ("auto", "float32", "bfloat16")
STARTS = ("search", "dfq")
# A classifier of fewer bits than this is too coarse where it is only rounded.
_FEW_BITS = 3
# Defaults that are others where weights are ternary.
_BY_WEIGHTS = {
    "lr_weights": (3e-3, 5e-3),
    "lr_norms": (1e-3, 0.0),
    "hold": (0.5, 0.0),
    "teacher_forcing": (0.3, 0.0),
    "mixup": (0.0, 0.3),
    "cutmix": (0.0, 0.5),
}


@dataclass(frozen=True)
class Settings:
    """How a model is quantized.

    Args:
        scheme: the bits.
        method: a name in the registry.
        samples: calibration images at most.
        steps: joint optimisation steps.
        batch_size: images in a step.
        seed: of everything random.
        rotate: spread what a few channels hold over all of them first, see ``models.rotation``.
        init_images: images that the scales are searched on, and dfq's correction is fitted to.
        per_head: give each head's attention weights a scale of their own, not one to all heads.
        prefix_scales: quantize class tokens and registers around their own means, with scales of
            their own, not as patches are.
        prefix_bits: of what enters layers at the places of class tokens and registers, where other
            places have fewer; None for as many as these.
        reparameterise: search dfq's scales as repq does, not as rtn does.
        damping: of dfq's correction, a share of the mean second moment of a layer's inputs.
        correct_bias: whether dfq's correction moves biases too, or weights alone.
        start: what joint and block start from: search, or dfq for a correction after it.
        lr_weights, lr_scales, lr_zero_points, lr_offsets, lr_rescaling: Adam's learning rates.
            Scales and rescaling are learned as logarithms; weights, zero points and offsets in
            levels of their own grids. The biases of quantized layers go with the weights, in levels
            of their channel's weight. None for the weights means 3e-3, or 5e-3 where they are
            ternary.
        lr_head: as lr_weights, for the classifier. None means 0, or lr_weights where its weights
            have less than 3 bits.
        lr_norms: Adam's rate for what stays float: normalisations, embeddings, tokens. None means
            1e-3, or 0 where weights are ternary.
        hold: share of the steps at these rates; over the others they fall to 0 on half a cosine.
            None means 0.5, or 0 where weights are ternary.
        feature_weight, logit_weight: of the two terms of the distillation loss.
        teacher_forcing: share of the steps in which joint's blocks are fed the float model's
            features too, less and less of them. None means 0.3, or 0 where weights are ternary.
        min_crop: the smallest random crop, as a fraction of the image's area; 1 for none.
        flip: probability of a horizontal flip.
        color: how far brightness, contrast and saturation of a view may be multiplied.
        mixup: probability that a view is blended with another image.
        cutmix: probability that a part of a view shows another image. For both, None means 0, or
            0.3 and 0.5 where weights are ternary, which learn a thousand images by heart.
        views: different views of each image, for which the float model's outputs are computed once
            and kept in memory; 0 for a new view every time.
        accumulate: parts that a step's images are worked through in, one after the other.
        checkpointing: compute activations again on the way back instead of keeping them.
        precision: of the matrix products in training: float32, bfloat16, or auto for bfloat16 where
            the hardware has it.
        compile: whether quantizers are compiled for training; None for where it is possible.
        allow_float: quantize what can be reached where something cannot.
    """

    scheme: Scheme
    method: str = "joint"
    samples: int = 1024
    steps: int = 800
    batch_size: int = 16
    seed: int = 0
    rotate: bool = False
    init_images: int = 32
    per_head: bool = True
    prefix_scales: bool = True
    prefix_bits: int | None = None
    reparameterise: bool = False
    damping: float = 0.1
    correct_bias: bool = True
    start: str = "search"
    lr_weights: float | None = None
    lr_head: float | None = None
    lr_scales: float = 3e-3
    lr_zero_points: float = 3e-2
    lr_offsets: float = 1e-2
    lr_rescaling: float = 3e-3
    lr_norms: float | None = None
    hold: float | None = None
    feature_weight: float = 100.0
    logit_weight: float = 1.0
    teacher_forcing: float | None = None
    min_crop: float = 0.4
    flip: float = 0.5
    color: float = 0.3
    mixup: float | None = None
    cutmix: float | None = None
    views: int = 0
    accumulate: int = 1
    checkpointing: bool = False
    precision: str = "auto"
    compile: bool | None = None
    allow_float: bool = False

    def __post_init__(self) -> None:
        for name, (usual, ternary) in _BY_WEIGHTS.items():
            if getattr(self, name) is None:
                chosen = ternary if self.scheme.bits.weight == 1.58 else usual
                object.__setattr__(self, name, chosen)
        if self.lr_head is None:
            few = self.scheme.head.weight < _FEW_BITS
            object.__setattr__(self, "lr_head", self.lr_weights if few else 0.0)
        for name in ("samples", "steps", "batch_size", "init_images", "accumulate"):
            if getattr(self, name) < 1:
                raise UserError(f"{_flag(name)}: {getattr(self, name)} is too few; 1 or more")
        if self.views < 0:
            raise UserError(f"--views: {self.views} is too few; 0 or more")
        for name in ("hold", "teacher_forcing", "min_crop", "flip", "color", "mixup", "cutmix"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{_flag(name)}: {getattr(self, name)} is not from 0 to 1")
        for name in (n for n in vars(self) if n.startswith("lr_") or n.endswith("_weight")):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UserError(
                    f"{_flag(name)}: {getattr(self, name)} is not 0 or a positive number"
                )
        if not 0 < self.damping < float("inf"):
            raise UserError(f"--damping: {self.damping} is not a positive number")
        if self.prefix_bits is not None:
            self._check_prefix_bits()
        if self.start not in STARTS:
            raise UserError(f"--start: {self.start!r} is not one; accepted: {', '.join(STARTS)}")
        if self.precision not in PRECISIONS:
            raise UserError(
                f"--precision: {self.precision!r} is not one; accepted: {', '.join(PRECISIONS)}"
            )
        if not 0 <= self.seed < 2**63:
            raise UserError(f"--seed: {self.seed} is not from 0 to 2**63 - 1")

    def _check_prefix_bits(self) -> None:
        bits = self.scheme.bits
        if not bits.quantizes_activations:
            raise UserError(f"--prefix-bits: {bits} leaves activations float; leave it out")
        if not self.prefix_scales:
            raise UserError("--prefix-bits: --no-prefix-scales rules it out; leave one of them out")
        accepted = [b for b in ACTIVATION_BITS if bits.activation <= b < FLOAT_BITS]
        if self.prefix_bits not in accepted:
            raise UserError(
                f"--prefix-bits: {self.prefix_bits} is not one; accepted with {bits}: "
                f"{', '.join(map(str, accepted))}"
            )

    def to_json(self) -> dict[str, Any]:
        scheme: dict[str, Bits] = vars(self.scheme)
        return asdict(self) | {"scheme": {place: str(bits) for place, bits in scheme.items()}}


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
