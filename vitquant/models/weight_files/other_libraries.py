"""Whose names a file of weights has, and how such a file can be used."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor


def _transformers(tensors: Mapping[str, Tensor]) -> str:
    return "give MODEL the folder with its config.json, without --weights"


def _torchvision(tensors: Mapping[str, Tensor]) -> str:
    name = "NAME, such as torchvision:swin_t"
    patches = next((t for n, t in tensors.items() if n.endswith("conv_proj.weight")), None)
    if patches is not None and patches.dim() == 4:
        size = {768: "b", 1024: "l", 1280: "h"}.get(patches.shape[0])
        name = f"vit_{size}_{patches.shape[-1]}" if size else "NAME, such as torchvision:vit_b_16"
    return f"give torchvision:{name} as MODEL, with this file as --weights"


def _clip(tensors: Mapping[str, Tensor]) -> str:
    return (
        "timm has such towers as vit_base_patch16_clip_224 and others by name (converted weights "
        "are downloaded), and a folder of a transformers model is accepted as MODEL"
    )


def _mmpretrain(tensors: Mapping[str, Tensor]) -> str:
    return "rename them as timm does (ln1 to norm1, ffn.layers to mlp), or name a model of timm"


def _dinov2(tensors: Mapping[str, Tensor]) -> str:
    return "timm has these weights by name, such as vit_small_patch14_dinov2.lvd142m"


@dataclass(frozen=True)
class _Library:
    """name: of the library. pattern: of a name that no other library gives. advice: what to do."""

    key: str
    name: str
    pattern: str
    advice: Callable[[Mapping[str, Tensor]], str]


# A pattern is looked for from the beginning of a name or behind a dot.
_LIBRARIES = (
    _Library(
        "transformers",
        "transformers",
        r"(embeddings\.patch_embeddings\.|encoder\.layer\.\d+\.|attention\.(self\.)?query\."
        r"|vision_model\.(encoder|embeddings)\.|self_attn\.q_proj\.|layer\.\d+\.attention\.q_proj)",
        _transformers,
    ),
    _Library(
        "torchvision",
        "torchvision",
        r"(encoder\.layers\.encoder_layer_\d+\.|features\.\d+\.\d+\.attn\.)",
        _torchvision,
    ),
    _Library(
        "open_clip",
        "open_clip and OpenAI's CLIP",
        r"transformer\.resblocks\.\d+\.",
        _clip,
    ),
    _Library(
        "mmpretrain",
        "OpenMMLab",
        r"(layers\.\d+\.(ln1|ffn\.layers)\.|stages\.\d+\.blocks\.\d+\.attn\.w_msa\.)",
        _mmpretrain,
    ),
    _Library(
        "dinov2",
        "the original DINOv2",
        r"(blocks\.\d+\.\d+\.norm1\.|register_tokens$|mask_token$)",
        _dinov2,
    ),
    _Library(
        "timm",
        "timm",
        r"blocks\.\d+\.attn\.qkv\.",
        lambda tensors: (
            "give timm's name of the architecture as MODEL, with this file as --weights"
        ),
    ),
)


def recognize(tensors: Mapping[str, Tensor], expected: str) -> str | None:
    """The end of a message about a file with another library's names; None if nobody knows them.

    Args:
        expected: the library whose names the network has.
    """
    for library in _LIBRARIES:
        pattern = re.compile(rf"(^|\.){library.pattern}")
        if any(pattern.search(name) for name in tensors):
            if library.key == expected:
                return None
            return f"the names of {library.name}; {library.advice(tensors)}"
    return None
