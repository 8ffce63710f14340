"""One member of each family of timm, at small size and with random weights."""

from pathlib import Path
from typing import Any

import timm
import torch

from vitquant.models.model import Model
from vitquant.models.sources.from_timm_module import from_timm_module

_PATCH_16: dict[str, Any] = {"img_size": 64, "depth": 2, "embed_dim": 96, "num_heads": 3}
_PATCH_14: dict[str, Any] = _PATCH_16 | {"img_size": 56}
_WINDOWS: dict[str, Any] = {
    "img_size": 64, "embed_dim": 48, "depths": (2, 2), "num_heads": (2, 4),
}  # fmt: skip
_SMALL: dict[str, Any] = {"img_size": 64}
_STAGES: dict[str, Any] = {"depths": (1, 1, 1, 1)}
_PYRAMID: dict[str, Any] = {"embed_dims": (16, 32, 64, 128), "num_heads": (1, 2, 4, 8)}
_HYBRID: dict[str, Any] = _STAGES | {"img_size": 96, "embed_dim": (32, 32, 64, 64)}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "ViT": ("vit_tiny_patch16_224", _PATCH_16),
    "DeiT": ("deit_tiny_patch16_224", _PATCH_16),
    "DeiT, distilled": ("deit_tiny_distilled_patch16_224", _PATCH_16),
    "DeiT III": ("deit3_small_patch16_224", _PATCH_16),
    "FlexiViT": ("flexivit_small", _PATCH_16),
    "NaFlexViT": (
        "naflexvit_base_patch16_gap",
        {"depth": 2, "embed_dim": 96, "num_heads": 3},
    ),
    "ViT, relative positions": ("vit_relpos_small_patch16_224", _PATCH_16),
    "ViT, rotary positions": ("vit_small_patch16_rope_224", _PATCH_16),
    "CLIP, image tower": ("vit_base_patch32_clip_224", _PATCH_16),
    "SigLIP, image tower": ("vit_base_patch16_siglip_224", _PATCH_16),
    "DINOv2": ("vit_small_patch14_dinov2", _PATCH_14),
    "DINOv2, registers": ("vit_small_patch14_reg4_dinov2", _PATCH_14),
    "DINOv3": ("vit_small_patch16_dinov3", _PATCH_16),
    "EVA-02": ("eva02_tiny_patch14_224", _PATCH_14),
    "BEiT": ("beit_base_patch16_224", _PATCH_16),
    "BEiT v2": ("beitv2_base_patch16_224", _PATCH_16),
    "SAM, image encoder": (
        "samvit_base_patch16_224",
        _PATCH_16 | {"global_attn_indexes": (1,), "window_size": 3},
    ),
    "Swin": ("swin_tiny_patch4_window7_224", _WINDOWS | {"img_size": 56}),
    "Swin S3": ("swin_s3_tiny_224", _WINDOWS | {"img_size": 56, "window_size": (14, 7)}),
    "Swin V2": ("swinv2_tiny_window8_256", _WINDOWS),
    "Swin V2 CR": ("swinv2_cr_tiny_224", _WINDOWS),
    "CaiT": ("cait_xxs24_224", _PATCH_16),
    "ConViT": (
        "convit_tiny",
        {"img_size": 64, "depth": 4, "embed_dim": 24, "num_heads": 4, "local_up_to_layer": 2},
    ),
    "PiT": ("pit_ti_224", _SMALL | {"depth": (1, 1, 1)}),
    "LeViT": ("levit_128s", _SMALL | {"depth": (1, 1, 1), "embed_dim": (32, 48, 64), "key_dim": 8}),
    "PVT v2": ("pvt_v2_b0", _STAGES),
    "Twins PCPVT": ("twins_pcpvt_small", _SMALL | _PYRAMID | _STAGES),
    "Twins SVT": ("twins_svt_small", _SMALL | _PYRAMID | {"depths": (1, 1, 2, 2)}),
    "MaxViT, timm's variants": ("maxvit_nano_rw_256", _HYBRID | {"stem_width": 16}),
    "MaxViT, original": ("maxvit_tiny_tf_224", _HYBRID | {"stem_width": 16}),
    "CoAtNet, timm's variants": ("coatnet_nano_rw_224", _HYBRID | {"stem_width": (16, 32)}),
    "Hiera": ("hiera_tiny_224", {"img_size": (64, 64), "stages": (1, 1, 1, 1), "embed_dim": 24}),
    "XCiT": ("xcit_nano_12_p16_224", _SMALL | {"depth": 2}),
    "CoaT": (
        "coat_tiny",
        _SMALL
        | {"serial_depths": (1, 1, 1, 1), "parallel_depth": 1, "embed_dims": (32, 32, 32, 32)},
    ),
    "CoaT-Lite": (
        "coat_lite_tiny",
        _SMALL | {"serial_depths": (1, 1, 1, 1), "embed_dims": (32, 64, 64, 64)},
    ),
    "CrossViT": ("crossvit_9_240", {"depth": ((1, 1, 0), (1, 1, 0))}),
    "DaViT": ("davit_tiny", _PYRAMID | _STAGES),
    "GC ViT": ("gcvit_xxtiny", _SMALL),
    "NesT": ("nest_tiny", _SMALL),
    "TNT": ("tnt_s_patch16_224", _SMALL | {"depth": 2, "embed_dim": 96}),
    "Visformer": ("visformer_tiny", _SMALL | {"depth": (1, 1, 1)}),
    "ViTamin": ("vitamin_small_224", _SMALL | {"depth": 2}),
    "VOLO": ("volo_d1_224", _SMALL),
    "MViT v2": ("mvitv2_tiny", _SMALL),
    "CAFormer": ("caformer_s18", {}),
    "EdgeNeXt": ("edgenext_xx_small", {}),
    "EfficientFormer": ("efficientformer_l1", {"depths": (1, 1, 1, 2)}),
    "EfficientFormer V2": ("efficientformerv2_s0", _SMALL),
    "EfficientViT, MIT": ("efficientvit_b0", {}),
    "EfficientViT, MSRA": ("efficientvit_m0", _SMALL | {"depth": (1, 1, 1)}),
    "FastViT, T and S": ("fastvit_t8", {"layers": (1, 1, 1, 1)}),
    "FastViT, SA and MA": ("fastvit_sa12", {"layers": (1, 1, 1, 1)}),
    "MobileViT": ("mobilevit_xxs", {}),
    "MobileViT v2": ("mobilevitv2_050", {}),
    "SwiftFormer": ("swiftformer_xs", {}),
    "TinyViT": ("tiny_vit_5m_224", {}),
}
"""By family: a name that timm knows and the arguments that make it small."""
# Those whose position tables fit no other size, however they are built.
_AS_THEY_ARE = ("crossvit_9_240", "efficientformer_l1")


def names() -> list[str]:
    """All families."""
    return list(FAMILIES)


def example(family: str) -> str:
    """The name that timm knows."""
    return FAMILIES[family][0]


def build(family: str, folder: Path) -> Model:
    """The small model, of 10 classes, with its input size. folder: not used."""
    name, arguments = FAMILIES[family]
    torch.manual_seed(0)
    module = timm.create_model(name, pretrained=False, num_classes=10, **arguments)
    with torch.no_grad():
        # No factor stays at the zero that it starts from.
        for parameter in module.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    model = from_timm_module(module)
    if name not in _AS_THEY_ARE:
        size = arguments.get("img_size", 64)
        height, width = size if isinstance(size, tuple) else (size, size)
        model.preprocessing["input_size"] = (3, height, width)
    return model
