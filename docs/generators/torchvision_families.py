"""One small model of each family of torchvision, with random weights, under names of their own."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.models import MaxVit, VisionTransformer, list_models
from torchvision.models._api import register_model
from torchvision.models.swin_transformer import (
    PatchMergingV2,
    SwinTransformer,
    SwinTransformerBlockV2,
)

from vitquant.core.hashing import sha256
from vitquant.models.model import Model, ModelIdentity
from vitquant.models.rewrites.multihead_attention import replace_multihead_attention
from vitquant.models.torchvision_adapter import TORCHVISION
from vitquant.models.torchvision_adapter import build as build_float

FAMILIES = {
    "ViT": ("vit_b_16", "vit_small"),
    "Swin": ("swin_t", "swin_small"),
    "Swin V2": ("swin_v2_t", "swin_v2_small"),
    "MaxViT": ("maxvit_t", "maxvit_small"),
}
"""By family: a model that users name, and the small one that stands for it."""
_VIT: dict[str, Any] = {
    "image_size": 32, "patch_size": 8, "num_layers": 2, "num_heads": 3, "hidden_dim": 48,
    "mlp_dim": 96,
}  # fmt: skip
_SWIN: dict[str, Any] = {
    "patch_size": [2, 2], "embed_dim": 24, "depths": [2, 2], "num_heads": [2, 4],
    "window_size": [4, 4],
}  # fmt: skip
_MAXVIT: dict[str, Any] = {
    "input_size": (32, 32), "stem_channels": 16, "partition_size": 4, "block_channels": [16, 32],
    "block_layers": [1, 1], "head_dim": 8, "stochastic_depth_prob": 0.0,
}  # fmt: skip


def _vit(weights: None = None, **arguments: Any) -> VisionTransformer:
    return VisionTransformer(**_VIT | arguments)


def _swin(weights: None = None, **arguments: Any) -> SwinTransformer:
    return SwinTransformer(**_SWIN | arguments)


def _swin_v2(weights: None = None, **arguments: Any) -> SwinTransformer:
    return SwinTransformer(
        **_SWIN | arguments, block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2
    )


def _maxvit(weights: None = None, **arguments: Any) -> MaxVit:
    return MaxVit(**_MAXVIT | arguments)


_BUILDERS = {
    "vit_small": _vit, "swin_small": _swin, "swin_v2_small": _swin_v2, "maxvit_small": _maxvit,
}  # fmt: skip
for _name, _builder in _BUILDERS.items():
    if _name not in list_models():
        register_model(_name)(_builder)


def names() -> list[str]:
    """All families."""
    return list(FAMILIES)


def example(family: str) -> str:
    """A model of the family that users name."""
    return FAMILIES[family][0]


def build(family: str, folder: Path) -> Model:
    """The small model, of 10 classes. folder: not used."""
    return small_model(FAMILIES[family][1])


def small_model(architecture: str, state: dict[str, Tensor] | None = None, **more: Any) -> Model:
    """A float model as a source makes it, by default of 10 classes.

    architecture: the second of a family. state: its weights under torchvision's names; by default
    random ones that are nowhere special. more: arguments of its class.
    """
    torch.manual_seed(0)
    arguments = {"num_classes": 10} | more
    module = build_float(architecture, arguments).requires_grad_(False)
    if state is not None:
        module.load_state_dict(state)
    else:
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    identity = ModelIdentity(
        name=architecture,
        architecture=architecture,
        arguments=arguments,
        weights_sha256=sha256(module.state_dict()),
        source=TORCHVISION.source,
    )
    replace_multihead_attention(module)
    size = getattr(module, "image_size", 32)
    preprocessing = {
        "input_size": (3, size, size), "interpolation": "bicubic", "crop_pct": 1.0,
        "crop_mode": "center", "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225),
    }  # fmt: skip
    return Model(module, identity, preprocessing, None, adapter=TORCHVISION)
