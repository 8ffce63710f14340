"""Which rows of an activation belong to class tokens and registers."""

import torch
from torch import Tensor, nn


def token_weights(model: nn.Module, x: Tensor) -> Tensor | None:
    """Weights (N, 1) of the tokens of an activation ``x`` (B, N, C), mean 1; None if all are equal.

    Where a model reads its answer off class tokens, those weigh as much as all the others together.
    A model that averages its tokens, or whose tokens do not stay in one row, such as a Swin,
    cares for all alike.
    """
    # Class tokens stand in front of the registers.
    leading = num_prefix_tokens(model, x) - int(getattr(model, "num_reg_tokens", 0) or 0)
    if getattr(model, "global_pool", "") != "token" or leading < 1 or x.dim() != 3:
        return None
    weights = torch.full((x.shape[1], 1), 0.5 / (x.shape[1] - leading), device=x.device)
    weights[:leading] = 0.5 / leading
    return weights * x.shape[1]


def num_prefix_tokens(model: nn.Module, x: Tensor) -> int:
    """How many rows at the front of an activation ``x`` (B, ..., N, C) are not patches'.

    0 where a model has none such tokens, or the rows of ``x`` are not its tokens.
    """
    prefix = int(getattr(model, "num_prefix_tokens", 0) or 0)
    patches = getattr(getattr(model, "patch_embed", None), "num_patches", None)
    if not prefix or patches is None or x.dim() < 3:
        return 0
    return prefix if x.shape[-2] == patches + prefix else 0
