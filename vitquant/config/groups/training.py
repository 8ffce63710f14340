"""The settings of the methods that train, or correct in closed form."""

from vitquant.config.declare import SameAs, UsedBy, setting
from vitquant.config.setting import Settings
from vitquant.config.values import (
    AT_LEAST_0,
    AT_LEAST_1,
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    PRECISIONS,
)

STARTS = ("search", "dfq")
TERNARY_WEIGHTS = "ternary weights"
OTHER_MEANS = "noise and inverted images"
LOW_BIT_HEAD = "a head below 3 bits"
TRAINED: UsedBy = {"method": ("joint", "block")}
CORRECTED: UsedBy = {"method": ("dfq",), "start": ("dfq",)}
JOINT: UsedBy = {"method": ("joint",)}


class Training(Settings):
    """Training (joint, block)"""

    used_by = TRAINED

    steps: int = setting(800, "Optimizer steps; with block, of each transformer block.", AT_LEAST_1)
    batch_size: int = setting(16, "Images in a step.", AT_LEAST_1)
    start: str = setting(
        "search",
        "Start from the scale search, or from layers that are corrected too.",
        metavar="NAME",
        choices=STARTS,
    )
    hold: float = setting(
        0.5,
        "Fraction of the steps at the full learning rates, before they fall to 0 along half a "
        "cosine.",
        FRACTION,
        unless={TERNARY_WEIGHTS: 0.0},
    )
    teacher_forcing: float = setting(
        0.3,
        "Fraction of the steps in which blocks are fed the float model's features too, less and "
        "less of them.",
        FRACTION,
        unless={TERNARY_WEIGHTS: 0.0},
        used_by=JOINT,
    )


class LearningRates(Settings):
    """Learning rates (joint, block)"""

    used_by = TRAINED

    lr_weights: float = setting(
        3e-3,
        "Of weights and biases, in levels (quantization steps) of the weights.",
        NOT_NEGATIVE,
        unless={TERNARY_WEIGHTS: 5e-3},
    )
    lr_head: float = setting(
        0.0,
        "The same, of the classifier.",
        NOT_NEGATIVE,
        unless={LOW_BIT_HEAD: SameAs("lr_weights")},
        used_by=JOINT,
    )
    lr_scales: float = setting(3e-3, "Of log scales.", NOT_NEGATIVE)
    lr_zero_points: float = setting(3e-2, "Of zero points, in levels.", NOT_NEGATIVE)
    lr_shifts: float = setting(1e-2, "Of channel shifts, in levels.", NOT_NEGATIVE)
    lr_rescaling: float = setting(3e-3, "Of log rescaling factors.", NOT_NEGATIVE)
    lr_norms: float = setting(
        1e-3,
        "Of what stays float: normalizations, embeddings, tokens.",
        NOT_NEGATIVE,
        unless={TERNARY_WEIGHTS: 0.0},
    )


class Loss(Settings):
    """Loss (joint)"""

    used_by = JOINT

    feature_weight: float = setting(100.0, "Weight of the features.", NOT_NEGATIVE)
    logit_weight: float = setting(1.0, "Weight of the logits.", NOT_NEGATIVE)


class Augmentation(Settings):
    """Augmentation (joint)"""

    used_by = JOINT

    min_crop: float = setting(
        0.4, "Smallest random crop, as a fraction of the image's area; 1 for none.", FRACTION
    )
    hflip: float = setting(0.5, "Probability of a horizontal flip.", FRACTION)
    color_jitter: float = setting(
        0.3,
        "How far brightness, contrast and saturation may each be multiplied, up or down.",
        FRACTION,
    )
    mixup: float = setting(
        0.0,
        "Probability that a view is blended with another image, which weighs up to one half.",
        FRACTION,
        unless={TERNARY_WEIGHTS: 0.3},
    )
    cutmix: float = setting(
        0.0,
        "Probability that a part of a view, 10 to 50% of its area, shows another image.",
        FRACTION,
        unless={TERNARY_WEIGHTS: 0.5},
    )
    views: int = setting(
        0,
        "Different views of each image. With a number, views recur, and the float model's outputs "
        "for them are kept in memory; 0 is a new view at every step.",
        AT_LEAST_0,
    )


class Correction(Settings):
    """Closed-form correction (dfq)"""

    used_by = CORRECTED

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
    correct_bias: bool = setting(True, "Correct biases too.", unless={OTHER_MEANS: False})


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
        "Of matmuls in training; auto is bfloat16 where the hardware computes in it.",
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
