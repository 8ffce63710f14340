"""Which rows of an activation a model's answer is read from."""

import torch
from torch import Tensor, nn


def token_weights(model: nn.Module, x: Tensor) -> Tensor | None:
    """Weights (N, 1) of the tokens of an activation ``x`` (B, N, C), mean 1; None if all are equal.

    Where a model reads its answer off class tokens, those weigh as much as all the others together.
    A model that averages its tokens, or whose tokens do not stay in one row, such as a Swin,
    cares for all alike.
    """
    prefix = int(getattr(model, "num_prefix_tokens", 0) or 0)
    patches = getattr(getattr(model, "patch_embed", None), "num_patches", None)
    # Class tokens stand in front of the registers.
    leading = prefix - int(getattr(model, "num_reg_tokens", 0) or 0)
    if getattr(model, "global_pool", "") != "token" or leading < 1 or patches is None:
        return None
    if x.dim() != 3 or x.shape[1] != patches + prefix:
        return None
    weights = torch.full((x.shape[1], 1), 0.5 / (x.shape[1] - leading), device=x.device)
    weights[:leading] = 0.5 / leading
    return weights * x.shape[1]
