"""Which generator makes images, and in which precision."""

from vitquant.config.declare import UsedBy, setting
from vitquant.config.setting import Settings
from vitquant.config.values import (
    AT_LEAST_1,
    DEFAULT_GENERATOR,
    MINIATURE_GENERATOR,
    PRECISIONS,
    SEED,
)

GENERATED: UsedBy = {"synthesizer": ("prompts", "template")}
"""The synthesizers that have a generator."""


class Basics(Settings):
    """Options"""

    seed: int = setting(0, "Seed of everything random.", SEED)


class Precision(Settings):
    """Compute"""

    precision: str = setting(
        "auto",
        "Of matmuls; auto is bfloat16 on a GPU, and for inversion on a CPU that computes in it.",
        metavar="P",
        choices=PRECISIONS,
    )


class GeneratorChoice(Settings):
    """Options"""

    used_by = GENERATED

    generator: str | None = setting(
        None,
        "One-step text-to-image pipeline of diffusers: a name on the Hub or a folder; by default "
        f"{DEFAULT_GENERATOR}, or {MINIATURE_GENERATOR} for a miniature.",
        metavar="ID",
    )
    generator_steps: int = setting(
        1, "Denoising steps of an image that is drawn; learning takes one.", AT_LEAST_1
    )
    decoder: str | None = setting(
        None,
        "Tiny decoder that gradients pass through: an AutoencoderTiny on the Hub or in a folder, "
        "or full for none; by default the one that goes with the generator, if one is known.",
        metavar="NAME",
        used_by={"synthesizer": ("prompts",)},
    )
    classes: str | None = setting(
        None,
        "A class a line: some of the model's, or what its outputs are called if it does not say.",
        metavar="FILE",
        used_by={},
    )
    prompts_per_class: int = setting(20, "Learned prompts, or texts, of each class.", AT_LEAST_1)
