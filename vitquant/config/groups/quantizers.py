"""Which bits and which quantizers, and whether the target takes them."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from vitquant.config.bits import ACTIVATION_BITS, FLOAT_BITS, Bits
from vitquant.config.bits.layer_bits import LayerBits
from vitquant.config.declare import SameAs, UsedBy, setting
from vitquant.config.groups.training import TERNARY_WEIGHTS, TRAINED
from vitquant.config.setting import Settings
from vitquant.config.targets import TARGETS
from vitquant.config.values import Patterns, When
from vitquant.core.errors import UserError

if TYPE_CHECKING:
    from vitquant.config.quantize import QuantizeSettings

FLOAT_ACTIVATIONS = "float activations"
I16_ACTIVATIONS = "16-bit integer activations"
MANY_BITS = "activations of 5 bits or more"
ONE_SCALE = " and ".join(name for name, target in TARGETS.items() if not target.head_scales)
PREFIX_BITS = "--prefix-bits"


def _has_levels(bits: Bits) -> bool:
    """Whether scales of parts bring something; to 16-bit integers they bring nothing."""
    return bits.quantizes_activations and not bits.signed


_WITH_ACTIVATIONS: UsedBy = {
    "bits": When(_has_levels, "of activations of 8 bits or fewer"),
    "layer_bits": When(lambda pairs: any(_has_levels(bits) for _, bits in pairs or ()), "of such"),
}


class Quantizers(Settings):
    """Bits and quantizers"""

    patch_embed_bits: Bits = setting(
        Bits(8, 8),
        "Bits of the layer that sees the image.",
        metavar="W8A8",
        unless={
            FLOAT_ACTIVATIONS: Bits(8, FLOAT_BITS),
            I16_ACTIVATIONS: Bits(8, 16, signed=True),
        },
    )
    head_bits: Bits = setting(SameAs("bits"), "Bits of the classifier.", metavar="W8A8")
    layer_bits: LayerBits | None = setting(
        None,
        "Bits of layers and matmuls whose name, or that of a module around them, is PATTERN, such "
        "as 'blocks.*.mlp.fc2=w4a8'; the last that fits wins. May be repeated, or list several "
        "with commas between.",
        metavar="PATTERN=W4A8",
    )
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
        unless={MANY_BITS: False, ONE_SCALE: False},
    )
    prefix_scales: bool = setting(
        False,
        "Quantize class tokens and registers around their own means, with scales of their own, not "
        "as patches are, which takes a few operations more in each layer.",
        used_by=_WITH_ACTIVATIONS,
        unless={PREFIX_BITS: True},
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


def check_quantizers(settings: "QuantizeSettings", labels: Mapping[str, str]) -> None:
    """Raise a UserError where the target, or another setting, does not go with one.

    labels: of what was given, by name.
    """
    target = settings.profile
    for label, bits in _asked_for(settings, labels):
        if bits.signed and not target.int16:
            raise UserError(
                f"{label}: {target.label} has no activations of 16-bit integers; a2 to a8, or a16 "
                f"for float ones, are accepted"
            )
    own = {
        "per_head": settings.per_head and not target.head_scales,
        "prefix_bits": settings.prefix_bits and not target.prefix_scales,
        "prefix_scales": settings.prefix_scales and not target.prefix_scales,
    }
    for name, wrong in own.items():
        if wrong:
            raise UserError(
                f"{labels[name]}: {target.label} computes fast with one scale for a whole tensor; "
                f"leave it out, or choose another target"
            )
    if settings.prefix_bits is None:
        return
    widths = [settings.bits, *(bits for _, bits in settings.layer_bits or ())]
    narrowest = next(bits for bits in widths if _has_levels(bits))
    accepted = [b for b in ACTIVATION_BITS if narrowest.activation <= b < FLOAT_BITS]
    if settings.prefix_bits not in accepted:
        raise UserError(
            f"{labels['prefix_bits']}: {settings.prefix_bits} is not one; accepted with "
            f"{narrowest}: {', '.join(map(str, accepted))}"
        )


def _asked_for(
    settings: "QuantizeSettings", labels: Mapping[str, str]
) -> Iterator[tuple[str, Bits]]:
    """All widths of the settings, with what a message calls them."""
    for name in ("bits", "patch_embed_bits", "head_bits"):
        label = labels.get(name) or labels.get("bits") or settings.naming.option("choices")
        yield label, getattr(settings, name)
    for pattern, bits in settings.layer_bits or ():
        yield f"{labels['layer_bits']}: {pattern}", bits
