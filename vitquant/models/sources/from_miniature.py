"""The two miniature models, registered with timm: importing this module makes them known by name.

Each is one of timm's own classes made small, so whatever works on `vit_base_patch16_224` or
`swin_tiny_patch4_window7_224` meets the same layers here, on a machine without an accelerator.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from timm.models import build_model_with_cfg, register_model
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer

from vitquant.data.sources.digits import CLASS_NAMES, SIDE
from vitquant.models.adapter import ModelAdapter
from vitquant.models.model import Model
from vitquant.models.sources import from_timm

NAMES = ("vit_digits", "swin_digits")
ADAPTER: ModelAdapter = from_timm.ADAPTER
ACCEPTED = f"a miniature ({', '.join(NAMES)})"


def names() -> list[str]:
    """What may be meant by a name that is misspelt."""
    return list(NAMES)


def claims(name: str) -> bool:
    """Whether it is one of `NAMES`."""
    return name in NAMES


def load(
    name: str,
    weights: Path | None = None,
    num_classes: int | None = None,
    input_size: tuple[int, int] | None = None,
) -> Model:
    """A miniature in eval mode, by default with the bundled weights; see `from_timm.load`."""
    if weights is not None:
        return from_timm.load(name, weights, num_classes, input_size)
    return from_timm.load(name, weights_path(name), num_classes, input_size, tag="bundled")


def weights_path(name: str) -> Path:
    """Where the bundled float32 weights of a miniature model lie.

    Raises:
        ValueError: `name` is not one of `NAMES`.
    """
    if name not in NAMES:
        raise ValueError(f"no miniature model is called {name!r}; there are {', '.join(NAMES)}")
    return Path(__file__).parents[2] / "miniature" / "weights" / f"{name}.safetensors"


def _cfg(name: str, classifier: str) -> dict[str, Any]:
    """What timm wants to know of a model besides its layers; `classifier` names the last one."""
    return {
        # A local file, so that `pretrained=True` never asks the network.
        "file": str(weights_path(name)),
        "num_classes": len(CLASS_NAMES),
        "label_names": CLASS_NAMES,
        "input_size": (3, SIDE, SIDE),
        "fixed_input_size": True,
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "first_conv": "patch_embed.proj",
        "classifier": classifier,
    }


# timm's decorator looks for this name in the module.
default_cfgs = {
    "vit_digits": _cfg("vit_digits", classifier="head"),
    "swin_digits": _cfg("swin_digits", classifier="head.fc"),
}


@register_model
def vit_digits(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """A ViT of 4 blocks, 96 wide, over 8 by 8 patches and a class token.

    Maps (N, 3, 32, 32) to (N, 10). Keywords go to `VisionTransformer`.
    """
    settings: dict[str, Any] = {
        "img_size": SIDE,
        "patch_size": 4,
        "embed_dim": 96,
        "depth": 4,
        "num_heads": 3,
        "qkv_bias": True,
    }
    return build_model_with_cfg(
        VisionTransformer,
        "vit_digits",
        pretrained,
        feature_cfg={"out_indices": 3, "feature_cls": "getter"},
        **(settings | kwargs),
    )


@register_model
def swin_digits(pretrained: bool = False, **kwargs: Any) -> SwinTransformer:
    """A Swin of two stages, 48 and 96 wide, over 16 by 16 patches in windows of 4 by 4.

    Each stage has a plain and a shifted block; a patch merging stands between the stages. Maps
    (N, 3, 32, 32) to (N, 10). Keywords go to `SwinTransformer`.
    """
    settings: dict[str, Any] = {
        "img_size": SIDE,
        "patch_size": 2,
        "window_size": 4,
        "embed_dim": 48,
        "depths": (2, 2),
        "num_heads": (3, 6),
        # timm's class drops paths by default; models this small have none to spare.
        "drop_path_rate": 0.0,
    }
    return build_model_with_cfg(
        SwinTransformer,
        "swin_digits",
        pretrained,
        feature_cfg={"out_indices": (0, 1), "flatten_sequential": True},
        **(settings | kwargs),
    )
