"""Small vision transformers of torchvision's classes, under names that torchvision knows."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models import list_models
from torchvision.models._api import register_model
from torchvision.models.swin_transformer import (
    PatchMergingV2,
    SwinTransformer,
    SwinTransformerBlockV2,
)
from torchvision.models.vision_transformer import VisionTransformer

from vitquant.core.hashing import sha256
from vitquant.models.model import Model, ModelIdentity
from vitquant.models.rewrites.multihead_attention import replace_multihead_attention
from vitquant.models.torchvision_adapter import TORCHVISION, build

_SWIN: dict[str, Any] = {
    "patch_size": [2, 2],
    "embed_dim": 24,
    "depths": [2, 2],
    "num_heads": [2, 4],
    "window_size": [4, 4],
}


def _vit_small(weights: None = None, **arguments: Any) -> VisionTransformer:
    settings = {
        "image_size": 32, "patch_size": 8, "num_layers": 2, "num_heads": 3, "hidden_dim": 48,
        "mlp_dim": 96,
    }  # fmt: skip
    return VisionTransformer(**settings | arguments)


def _swin_small(weights: None = None, **arguments: Any) -> SwinTransformer:
    return SwinTransformer(**_SWIN | arguments)


def _swin_v2_small(weights: None = None, **arguments: Any) -> SwinTransformer:
    return SwinTransformer(
        **_SWIN | arguments, block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2
    )


_BUILDERS = {"vit_small": _vit_small, "swin_small": _swin_small, "swin_v2_small": _swin_v2_small}
for _name, _builder in _BUILDERS.items():
    if _name not in list_models():
        register_model(_name)(_builder)


@pytest.fixture
def make_torchvision():
    """make_torchvision(architecture, **arguments) → a small float model, see ``_model``."""
    return _model


def _model(architecture: str, state: dict[str, Tensor] | None = None, **arguments: Any) -> Model:
    """A float model as a source makes it, by default of 10 classes.

    architecture: ``vit_small``, ``swin_small`` or ``swin_v2_small``. state: its weights under
    torchvision's names; by default random ones that are nowhere special.
    """
    torch.manual_seed(0)
    arguments = {"num_classes": 10} | arguments
    module = build(architecture, arguments).requires_grad_(False)
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
