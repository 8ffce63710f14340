"""A network of transformers for images of another size, its position embedding resampled once.

transformers resamples in every forward pass, in ways that not every exporter takes.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

ANY_SIZE = ("dinov2", "dinov2_with_registers", "dinov3_vit", "swin", "swinv2")
"""Types whose networks take images of another size than ``image_size`` without being asked to."""


def resized(network: nn.Module, side: int) -> nn.Module:
    """A copy that takes images of (side, side) pixels; computes what transformers would for them.

    Raises:
        RuntimeError, ValueError: other weights depend on the size too, as BEiT's do.
    """
    original: Any = network
    config = copy.deepcopy(original.config)
    for own in (config, getattr(config, "vision_config", config)):
        own.image_size = side
    copied: nn.Module = type(network)(config)
    copied.load_state_dict(network.state_dict() | _positions(network, side))
    return copied.eval().requires_grad_(False)


@torch.no_grad()
def _positions(network: nn.Module, side: int) -> dict[str, Tensor]:
    """The resampled position embedding by its name; nothing where there is none."""
    for name, tensor in network.state_dict().items():
        for own in ("position_embeddings", "position_embedding.weight"):
            if not name.endswith(f"embeddings.{own}"):
                continue
            embeddings: Any = network.get_submodule(name.removesuffix(f".{own}"))
            width = tensor.shape[-1]
            # Of its first argument only the shape counts, which must not be that of the positions.
            found = embeddings.interpolate_pos_encoding(tensor.new_zeros(1, 0, width), side, side)
            return {name: found.view(*tensor.shape[:-2], -1, width)}
    return {}
