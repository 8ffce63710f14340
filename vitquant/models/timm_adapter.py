"""What timm's models answer, and what timm knows of them."""

from contextlib import AbstractContextManager
from typing import Any

import timm
from timm.data import ImageNetInfo, infer_imagenet_subset
from timm.layers import LayerScale
from torch import Tensor, nn

from vitquant.core.errors import UserError
from vitquant.data.class_names import ClassNames
from vitquant.models.adapter import ModelAdapter, ResidualStream, TokenLayout, switched

# Attention biases by place, which are looked up in parameters once.
_CACHE = "attention_bias_cache"


class TimmAdapter(ModelAdapter):
    """Models with timm's interface, and networks that return a tensor."""

    source = "timm"

    def features(self, module: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
        network: Any = module
        tokens = network.forward_features(images)
        return network.forward_head(tokens), network.forward_head(tokens, pre_logits=True)

    def num_classes(self, module: nn.Module) -> int:
        return _number(module, "num_classes")

    def classifier_names(self, module: nn.Module) -> set[str]:
        get: Any = getattr(module, "get_classifier", None)
        classifier = get() if get is not None else None
        found = classifier if isinstance(classifier, tuple) else (classifier,)
        return {name for name, m in module.named_modules() if any(m is f for f in found)}

    def tokens(self, module: nn.Module) -> TokenLayout:
        patches = getattr(getattr(module, "patch_embed", None), "num_patches", None)
        registers = _number(module, "num_reg_tokens")
        return TokenLayout(
            class_tokens=_number(module, "num_prefix_tokens") - registers,
            registers=registers,
            patches=0 if patches is None else int(patches),
            pools_class=getattr(module, "global_pool", "") == "token",
        )

    def residual_stream(self, module: nn.Module) -> ResidualStream | None:
        network: Any = module
        try:
            return _residual_stream(network)
        except (AttributeError, TypeError):  # parts that are missing, or others
            return None

    def grad_checkpointing(self, module: nn.Module) -> AbstractContextManager[None] | None:
        switch: Any = getattr(module, "set_grad_checkpointing", None)
        return None if switch is None else switched(switch)

    def without_caches(self, module: nn.Module) -> nn.Module:
        for part in module.modules():
            if hasattr(part, _CACHE):  # of LeViT, TinyViT and others
                part.register_forward_pre_hook(_clear_cache)
        return module

    def rebuild(self, architecture: str, arguments: dict[str, Any]) -> nn.Module:
        return create_model(architecture, arguments)


def _clear_cache(module: nn.Module, _: Any) -> None:
    getattr(module, _CACHE).clear()


TIMM = TimmAdapter()


def create_model(architecture: str, arguments: dict[str, Any]) -> nn.Module:
    """The architecture with random weights, in eval mode.

    Raises:
        UserError: the installed timm does not know it.
    """
    if not timm.is_model(architecture):
        raise UserError(
            f"MODEL: the installed timm {timm.__version__} has no {architecture!r}; "
            f"a timm that has it is needed"
        )
    module: nn.Module = timm.create_model(architecture, pretrained=False, **arguments)
    return module.eval()


def timm_cfg(module: nn.Module) -> dict[str, Any]:
    """What timm has written down about a model; empty if it is not timm's."""
    cfg: Any = getattr(module, "pretrained_cfg", None)
    return cfg or {}


def class_names(module: nn.Module) -> ClassNames | None:
    """What a timm model's outputs are called, as far as timm knows."""
    names, count = timm_cfg(module).get("label_names"), _number(module, "num_classes")
    if names and len(names) == count:
        return ClassNames(tuple(names), tuple(names))
    return imagenet_classes(count) if count else None


def imagenet_classes(num_classes: int) -> ClassNames | None:
    """Classes of the ImageNet variant with so many classes; None if there is none.

    The number of classes is all that timm knows a variant by.
    """
    subset = infer_imagenet_subset({"num_classes": num_classes})
    if subset is None:
        return None
    info = ImageNetInfo(subset)
    return ClassNames(tuple(info.label_names()), tuple(info.label_descriptions()))


def _number(module: nn.Module, name: str) -> int:
    value: Any = getattr(module, name, 0)
    return int(value or 0)


def _residual_stream(network: Any) -> ResidualStream:
    """The parts of a VisionTransformer such as DeiT's or DINOv2's, in order of execution."""
    stream = ResidualStream(network.embed_dim, list(network.parameters(recurse=False)))
    stream.writers.append((network.patch_embed.proj, None))
    for block in network.blocks:
        stream.readers += [(block.norm1, [block.attn.qkv]), (block.norm2, [block.mlp.fc1])]
        stream.writers += [
            (block.attn.proj, _scale(block.ls1)),
            (block.mlp.fc2, _scale(block.ls2)),
        ]
        stream.attentions.append((block.attn.qkv, block.attn.proj, block.attn.num_heads))
    last = network.norm if isinstance(network.norm, nn.LayerNorm) else network.fc_norm
    heads = [network.head, *([network.head_dist] if hasattr(network, "head_dist") else [])]
    stream.readers.append((last, heads))
    return stream


def _scale(module: nn.Module) -> nn.Parameter | None:
    return module.gamma if isinstance(module, LayerScale) else None
