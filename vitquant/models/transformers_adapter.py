"""What the models of transformers answer, and which of them are taken."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vitquant.core.errors import UserError
from vitquant.models.adapter import ModelAdapter, ResidualStream, TokenLayout
from vitquant.models.rewrites.joint_projection import JointProjection, join_projections
from vitquant.models.rewrites.multihead_attention import replace_multihead_attention

TEXT = "text"
"""The tower that reads texts, where a model has one."""


@dataclass(frozen=True)
class Family:
    """Networks of one ``model_type`` of transformers.

    classes: by the architecture that a ``config.json`` names, the class to build. towers: the same
    by tower, for models of two. class_tokens: in front of the patches. pools_class: whether the
    answer is read off them.
    """

    classes: dict[str, str]
    text: str = ""
    class_tokens: int = 1
    pools_class: bool = True


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


_CLIP, _SIGLIP = "CLIPVisionModelWithProjection", "SiglipVisionModel"
_CLIP_TEXT, _SIGLIP_TEXT = "CLIPTextModelWithProjection", "SiglipTextModel"
FAMILIES = {
    "vit": Family(_same("ViTForImageClassification", "ViTModel")),
    "deit": Family(
        _same("DeiTForImageClassification", "DeiTForImageClassificationWithTeacher", "DeiTModel"),
        class_tokens=2,
    ),
    "beit": Family(_same("BeitForImageClassification", "BeitModel"), pools_class=False),
    "swin": Family(_same("SwinForImageClassification", "SwinModel"), class_tokens=0),
    "swinv2": Family(_same("Swinv2ForImageClassification", "Swinv2Model"), class_tokens=0),
    "dinov2": Family(_same("Dinov2ForImageClassification", "Dinov2Model")),
    "dinov2_with_registers": Family(
        _same("Dinov2WithRegistersForImageClassification", "Dinov2WithRegistersModel")
    ),
    "dinov3_vit": Family(_same("DINOv3ViTModel")),
    "clip": Family({"CLIPModel": _CLIP} | _same("CLIPForImageClassification"), _CLIP_TEXT),
    "clip_vision_model": Family(_same(_CLIP, "CLIPVisionModel")),
    "siglip": Family(
        {"SiglipModel": _SIGLIP} | _same("SiglipForImageClassification"),
        _SIGLIP_TEXT,
        class_tokens=0,
    ),
    "siglip_vision_model": Family(_same(_SIGLIP), class_tokens=0),
    "clip_text_model": Family(_same(_CLIP_TEXT), _CLIP_TEXT, class_tokens=0),
    "siglip_text_model": Family(_same(_SIGLIP_TEXT), _SIGLIP_TEXT, class_tokens=0),
}
"""By ``model_type``. SigLIP 2 with a fixed resolution has the type of SigLIP."""
_BUILT = {name for family in FAMILIES.values() for name in (*family.classes.values(), family.text)}
TEXT_TOWERS = {family.text for family in FAMILIES.values() if family.text}
"""Classes of networks that read texts."""
_NOT_KEPT = ("id2label", "label2id", "architectures", "transformers_version", "dtype")
_CLASSIFIERS = ("classifier", "cls_classifier", "distillation_classifier")
# What a network returns instead of logits, the first that there is.
_OUTPUTS = ("logits", "image_embeds", "text_embeds", "pooler_output", "last_hidden_state")


class TransformersAdapter(ModelAdapter):
    """The vision transformers of transformers."""

    source = "transformers"

    def output(self, returned: Any) -> Tensor:
        """Logits, or else the embedding (B, D) of an image or a text."""
        found = (getattr(returned, name, None) for name in _OUTPUTS)
        tensor: Tensor = next(value for value in found if value is not None)
        return tensor

    def num_classes(self, module: nn.Module) -> int:
        network: Any = module
        return int(network.config.num_labels) if self.classifier_names(module) else 0

    def classifier_names(self, module: nn.Module) -> set[str]:
        found = {name: getattr(module, name, None) for name in _CLASSIFIERS}
        return {
            name
            for name, layer in found.items()
            if layer is not None and not isinstance(layer, nn.Identity)
        }

    def tokens(self, module: nn.Module) -> TokenLayout:
        network: Any = module
        config = network.config
        family = FAMILIES.get(config.model_type)
        if family is None or not family.class_tokens:
            return TokenLayout()
        config = getattr(config, "vision_config", config)
        return TokenLayout(
            class_tokens=family.class_tokens,
            registers=getattr(config, "num_register_tokens", 0),
            patches=(config.image_size // config.patch_size) ** 2,
            pools_class=family.pools_class,
        )

    def residual_stream(self, module: nn.Module) -> ResidualStream | None:
        network: Any = module
        heads = [module.get_submodule(name) for name in sorted(self.classifier_names(module))]
        for prefix in ("vit", "deit"):
            if hasattr(network, prefix) and heads:
                return _residual_stream(getattr(network, prefix), heads)
        return None

    def grad_checkpointing(self, module: nn.Module) -> AbstractContextManager[None] | None:
        network: Any = module
        return _checkpointing(network) if network.supports_gradient_checkpointing else None

    def rebuild(self, architecture: str, arguments: dict[str, Any]) -> nn.Module:
        import transformers

        if architecture not in _BUILT or not hasattr(transformers, architecture):
            raise UserError(
                f"MODEL: the installed transformers {transformers.__version__} has no "
                f"{architecture!r}; a transformers that has it is needed"
            )
        cls = getattr(transformers, architecture)
        return build(cls, cls.config_class.from_dict(dict(arguments["config"])))

    def hub_config(self, module: nn.Module) -> dict[str, Any]:
        network: Any = module
        return plain_config(network.config) | {"architectures": [type(network).__name__]}


TRANSFORMERS = TransformersAdapter()


def build(cls: Any, config: Any) -> nn.Module:
    """A network of transformers with random weights, in eval mode and in the form of vitquant."""
    module: nn.Module = cls._from_config(
        config, attn_implementation=attention(cls), dtype=torch.float32
    ).eval()
    rewrite(module)
    return module


def attention(cls: Any) -> str:
    """How a network of transformers computes attention: in one call where it can."""
    return "sdpa" if cls._supports_sdpa else "eager"


def rewrite(module: nn.Module) -> None:
    """Bring the attentions of a network to the form that vitquant quantizes, in place."""
    if type(module).__name__ == "SiglipForImageClassification":
        _drop_pooling(module)
    replace_multihead_attention(module)
    join_projections(module)


def _drop_pooling(module: nn.Module) -> None:
    """Without the attention whose output a classifier of SigLIP, which averages, leaves aside."""
    for part in list(module.modules()):
        network: Any = part
        if getattr(network, "use_head", False):
            network.use_head = False
            del network.head


def plain_config(config: Any) -> dict[str, Any]:
    """What a network is built again from, as JSON holds it; class names lie elsewhere."""
    found = _kept(json.loads(config.to_json_string(use_diff=False)))
    return found | {"num_labels": config.num_labels}


def _kept(config: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _kept(value) if name.endswith("_config") and isinstance(value, dict) else value
        for name, value in config.items()
        if not name.startswith("_") and name not in _NOT_KEPT
    }


@contextmanager
def _checkpointing(network: Any) -> Iterator[None]:
    # Releases after 5.3 call it what it is, and warn of the older name.
    prefix = "activation" if hasattr(network, "activation_checkpointing_enable") else "gradient"
    getattr(network, f"{prefix}_checkpointing_enable")()
    try:
        yield
    finally:
        getattr(network, f"{prefix}_checkpointing_disable")()


def _residual_stream(network: Any, classifiers: list[Any]) -> ResidualStream:
    """The parts of a ViT or DeiT, in order of execution."""
    embeddings = network.embeddings
    stream = ResidualStream(network.config.hidden_size)
    stream.parameters += list(embeddings.parameters(recurse=False))
    stream.writers.append((embeddings.patch_embeddings.projection, None))
    for layer in network.layers:
        attention: Any = layer.attention
        joint: JointProjection = attention.q_proj
        stream.readers += [
            (layer.layernorm_before, [joint.qkv]),
            (layer.layernorm_after, [layer.mlp.fc1]),
        ]
        stream.writers += [(attention.o_proj, None), (layer.mlp.fc2, None)]
        stream.attentions.append((joint.qkv, attention.o_proj, attention.num_attention_heads))
    stream.readers.append((network.layernorm, classifiers))
    return stream
