"""One small model of each family of transformers, with random weights, written as a folder."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers

from generators.small_tokenizer import write_tokenizer
from vitquant.models.model import Model
from vitquant.models.sources import load_float
from vitquant.models.transformers_files import quiet

_SIZE = {"image_size": 32, "patch_size": 8}
_DEPTH = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3}
_PLAIN: dict[str, Any] = _SIZE | _DEPTH | {"intermediate_size": 96}
_DINOV2: dict[str, Any] = _SIZE | _DEPTH | {"mlp_ratio": 2}
_WINDOWS: dict[str, Any] = {
    "image_size": 32, "patch_size": 2, "window_size": 4, "embed_dim": 24, "depths": [2, 2],
    "num_heads": [2, 4],
}  # fmt: skip
_TEXT: dict[str, Any] = _DEPTH | {
    "intermediate_size": 96,
    "vocab_size": 300,
    "max_position_embeddings": 16,
    "bos_token_id": 298,
    "eos_token_id": 299,
}
_CLASSES: dict[str, Any] = {"id2label": {i: f"kind {i}" for i in range(10)}}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "ViT": ("ViTForImageClassification", _PLAIN | _CLASSES),
    "ViT, no classifier": ("ViTModel", _PLAIN),
    "DeiT": ("DeiTForImageClassification", _PLAIN | _CLASSES),
    "DeiT, distilled": ("DeiTForImageClassificationWithTeacher", _PLAIN | _CLASSES),
    "BEiT": (
        "BeitForImageClassification",
        _PLAIN | _CLASSES | {"use_relative_position_bias": True, "layer_scale_init_value": 0.1},
    ),
    "Swin": ("SwinForImageClassification", _WINDOWS | _CLASSES),
    "Swin V2": ("Swinv2ForImageClassification", _WINDOWS | _CLASSES),
    "DINOv2": ("Dinov2ForImageClassification", _DINOV2 | _CLASSES),
    "DINOv2, no classifier": ("Dinov2Model", _DINOV2),
    "DINOv2, registers": ("Dinov2WithRegistersForImageClassification", _DINOV2 | _CLASSES),
    "DINOv3": ("DINOv3ViTModel", _PLAIN | {"num_register_tokens": 4}),
    "CLIP": ("CLIPModel", {"vision_config": _PLAIN, "text_config": _TEXT, "projection_dim": 32}),
    "CLIP, classifier": (
        "CLIPForImageClassification",
        {"vision_config": _PLAIN, "text_config": _TEXT, "projection_dim": 32} | _CLASSES,
    ),
    "CLIP, image tower": ("CLIPVisionModelWithProjection", _PLAIN | {"projection_dim": 32}),
    "SigLIP and SigLIP 2": ("SiglipModel", {"vision_config": _PLAIN, "text_config": _TEXT}),
    "SigLIP, classifier": (
        "SiglipForImageClassification",
        {"vision_config": _PLAIN, "text_config": _TEXT} | _CLASSES,
    ),
}
"""By family: the class of transformers and the arguments of its config."""
TEXT_TOWERS = {
    "CLIP, text tower": ("CLIP", "CLIPTextModelWithProjection"),
    "SigLIP, text tower": ("SigLIP and SigLIP 2", "SiglipTextModel"),
}
"""By what they are called: the family that has one, and the class of transformers."""

PROCESSOR: dict[str, Any] = {
    "image_processor_type": "ViTImageProcessor",
    "size": {"height": 32, "width": 32},
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "resample": 3,
}


def write_folder(family: str, folder: Path) -> Path:
    """A model of :data:`FAMILIES` in ``folder``, as ``save_pretrained`` writes it; the folder."""
    name, arguments = FAMILIES[family]
    cls = getattr(transformers, name)
    torch.manual_seed(0)
    with quiet():
        network = cls(cls.config_class(**arguments)).eval()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        network.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return folder


def names() -> list[str]:
    """All families, and the text towers."""
    return [*FAMILIES, *TEXT_TOWERS]


def example(name: str) -> str:
    """The class of transformers."""
    return TEXT_TOWERS[name][1] if name in TEXT_TOWERS else FAMILIES[name][0]


def build(name: str, folder: Path) -> Model:
    """The model, read from a new folder in ``folder``."""
    if name not in TEXT_TOWERS:
        return load_float(str(write_folder(name, folder / "float")))
    return load_float(
        f"{write_tokenizer(write_folder(TEXT_TOWERS[name][0], folder / 'float'))}#text"
    )
