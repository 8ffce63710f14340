"""Short names with pinned tags, so that a name means the same weights tomorrow."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Alias:
    """A timm name with its tag, and its published top-1 on ImageNet-1k in percent."""

    timm_name: str
    top1: float


ALIASES: dict[str, Alias] = {
    "vit_tiny": Alias("vit_tiny_patch16_224.augreg_in21k_ft_in1k", 75.45),
    "vit_small": Alias("vit_small_patch16_224.augreg_in21k_ft_in1k", 81.39),
    "vit_base": Alias("vit_base_patch16_224.augreg_in21k_ft_in1k", 84.54),
    "deit_tiny": Alias("deit_tiny_patch16_224.fb_in1k", 72.21),
    "deit_small": Alias("deit_small_patch16_224.fb_in1k", 79.85),
    "deit_base": Alias("deit_base_patch16_224.fb_in1k", 81.80),
    "swin_tiny": Alias("swin_tiny_patch4_window7_224.ms_in1k", 81.35),
    "swin_small": Alias("swin_small_patch4_window7_224.ms_in1k", 83.23),
    "swin_base": Alias("swin_base_patch4_window7_224.ms_in1k", 83.61),
}
