"""What torchvision's vision transformers answer, and how they are built."""

from typing import Any

import torchvision
from torch import nn

from vitquant.core.errors import UserError
from vitquant.models.adapter import ModelAdapter, ResidualStream, TokenLayout
from vitquant.models.rewrites.multihead_attention import replace_multihead_attention

# Of ViT, Swin and MaxViT.
CLASSIFIERS = ("heads.head", "head", "classifier.5")


class TorchvisionAdapter(ModelAdapter):
    """Vision transformers of torchvision."""

    source = "torchvision"

    def num_classes(self, module: nn.Module) -> int:
        network: Any = module
        return int(network.num_classes)

    def classifier_names(self, module: nn.Module) -> set[str]:
        return {
            name
            for name, layer in module.named_modules()
            if name in CLASSIFIERS and not isinstance(layer, nn.Identity)
        }

    def tokens(self, module: nn.Module) -> TokenLayout:
        network: Any = module
        if not hasattr(module, "class_token"):
            return TokenLayout()
        patches = (network.image_size // network.patch_size) ** 2
        return TokenLayout(class_tokens=1, patches=patches, pools_class=True)

    def residual_stream(self, module: nn.Module) -> ResidualStream | None:
        network: Any = module
        try:
            return _residual_stream(network)
        except AttributeError:  # parts that are missing
            return None

    def rebuild(self, architecture: str, arguments: dict[str, Any]) -> nn.Module:
        module = build(architecture, arguments)
        replace_multihead_attention(module)
        return module


TORCHVISION = TorchvisionAdapter()


def build(architecture: str, arguments: dict[str, Any]) -> nn.Module:
    """The architecture with random weights, in eval mode, as torchvision has it.

    arguments: of torchvision's function of that name. 0 as ``num_classes`` leaves the classifier
    out.

    Raises:
        UserError: the installed torchvision does not know it.
    """
    if architecture not in torchvision.models.list_models():
        raise UserError(
            f"MODEL: the installed torchvision {torchvision.__version__} has no {architecture!r}; "
            f"a torchvision that has it is needed"
        )
    count = arguments.get("num_classes", 1000)
    network: Any = torchvision.models.get_model(
        architecture, weights=None, **arguments | {"num_classes": count or 1}
    )
    network.num_classes = count  # which MaxViT does not have
    if not count:
        for name in TORCHVISION.classifier_names(network):
            network.set_submodule(name, nn.Identity())
    module: nn.Module = network.eval()
    return module


def _residual_stream(network: Any) -> ResidualStream:
    """The parts of a VisionTransformer, in order of execution."""
    encoder = network.encoder
    stream = ResidualStream(network.hidden_dim, [network.class_token, encoder.pos_embedding])
    stream.writers.append((getattr(network.conv_proj, "conv_last", network.conv_proj), None))
    for block in encoder.layers:
        attention, mlp = block.self_attention, block.mlp
        stream.readers += [(block.ln_1, [attention.qkv]), (block.ln_2, [mlp[0]])]
        stream.writers += [(attention.out_proj, None), (mlp[3], None)]
        stream.attentions.append((attention.qkv, attention.out_proj, attention.num_heads))
    stream.readers.append((encoder.ln, [network.heads[0]]))
    return stream
